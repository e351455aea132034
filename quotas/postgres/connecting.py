"""Connections to PostgreSQL: their time-outs, and what their errors mean."""

import asyncio

import asyncpg

from quotas.errors import LedgerUnavailable

STATEMENT_SECONDS = 10.0
"""How long one statement may take; the database ends it then."""

CONNECT_SECONDS = 5.0

LOST = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was cut within an exchange
)
"""The connection is gone, or of no use: whether the last statement took effect is not known."""

AGAIN = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""Nothing took effect, and the same may succeed."""


async def connect(dsn: str, schema: str) -> asyncpg.Connection:
    """Connect, so that no statement, lock or abandoned transaction can hold anything up for long.

    Raises:
        LedgerUnavailable: there is no such database, or it lets nobody in.
    """
    milliseconds = str(int(STATEMENT_SECONDS * 1e3))
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS + CONNECT_SECONDS,
            server_settings={
                "application_name": "lakegate quotas",
                "search_path": schema,
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
                "jit": "off",
            },
        )
    except (asyncpg.PostgresError, *LOST) as error:
        raise LedgerUnavailable(f"the ledger's database cannot be reached: {type(error).__name__}") from error
