"""Connections to PostgreSQL: their time-outs, and what their errors mean."""

import asyncio

import asyncpg

from quotas.errors import LedgerUnavailable

STATEMENT_SECONDS = 10.0
"""How long a statement may take, a lock be waited for, and a transaction stand still; the database ends it then."""

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


async def bounded(dsn: str, schema: str, *, name: str, statements: int = 100) -> asyncpg.Connection:
    """Connect under a ``name`` for whoever looks at the server, keeping so many prepared statements.

    No statement, lock or abandoned transaction of the connection can hold anything up for long. Errors are asyncpg's.
    """
    milliseconds = str(int(STATEMENT_SECONDS * 1e3))
    return await asyncpg.connect(
        dsn,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS + CONNECT_SECONDS,
        statement_cache_size=statements,
        server_settings={
            "application_name": name,
            "search_path": schema,
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            "jit": "off",
        },
    )


async def connect(dsn: str, schema: str) -> asyncpg.Connection:
    """Connect, bounded.

    Raises:
        LedgerUnavailable: there is no such database, or it lets nobody in.
    """
    try:
        return await bounded(dsn, schema, name="lakegate quotas")
    except (asyncpg.PostgresError, *LOST) as error:
        raise LedgerUnavailable(f"the ledger's database cannot be reached: {type(error).__name__}") from error
