"""The orders' database on PostgreSQL, for gateways on several machines.

Each process has one connection, in a thread with an event loop of its own. Transactions of all processes happen one
after the other, by an advisory lock that each takes first: what is decided in one was never read half done. Whoever
dies loses the lock with its connection; whoever stands still within a transaction is thrown out by the server.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import asyncpg

from harvest.database_thread import DatabaseThread
from harvest.errors import DatabaseUnavailable
from harvest.postgres_words import bound, schema_script
from harvest.sql import migrations, not_newer, queries, queries_of_postgres
from quotas.postgres.connecting import CONNECT_SECONDS, bounded
from quotas.postgres.schema import checked_schema

_T = TypeVar("_T")

DEFAULT_SCHEMA = "lakegate_harvest"
_SCHEMA_LOCK = 0x68617276
"""The number of the advisory lock under which the schema is made ("harv")."""

_LOST = (OSError, asyncio.TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
_UNAVAILABLE = (
    *_LOST,
    asyncpg.InternalClientError,  # a connection that was cut within an exchange
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

_FRESH_ID = """
CREATE OR REPLACE FUNCTION fresh_id() RETURNS text LANGUAGE sql VOLATILE
AS $$ SELECT replace(CAST(gen_random_uuid() AS text), '-', '') $$
"""


async def connect(dsn: str, schema: str) -> asyncpg.Connection:
    """Connect, bounded.

    Raises:
        DatabaseUnavailable: there is no such database, or it lets nobody in.
    """
    try:
        return await bounded(dsn, schema, name="lakegate harvest", statements=1_000)
    except (asyncpg.PostgresError, *_LOST) as error:
        raise DatabaseUnavailable(f"the orders' database cannot be reached: {type(error).__name__}") from error


async def migrate(connection: asyncpg.Connection, schema: str) -> None:
    """Bring the schema to the newest version, in one transaction; whoever comes later waits for the first.

    Raises:
        RuntimeError: the schema is of a newer release.
    """
    scripts = migrations()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.execute("CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY)")
        done = await connection.fetchval("SELECT coalesce(max(number), 0) FROM migration")
        not_newer(done, len(scripts))
        if done < len(scripts):
            await connection.execute(_FRESH_ID)
        for number, script in enumerate(scripts[done:], start=done + 1):
            await connection.execute(schema_script(script))
            await connection.execute("INSERT INTO migration (number) VALUES ($1)", number)


async def version(connection: asyncpg.Connection) -> tuple[int, int]:
    """Return the schema's version, 0 where there is none, and the one that this release knows."""
    known = len(migrations())
    if await connection.fetchval("SELECT to_regclass('migration')") is None:
        return 0, known
    return int(await connection.fetchval("SELECT coalesce(max(number), 0) FROM migration")), known


class PostgresConnection:
    """A :class:`harvest.database.Connection` over the session that holds it."""

    def __init__(self, session: "PostgresSession", named: Mapping[str, str]) -> None:
        self._session = session
        self._named = named

    def all(self, name: str, **values: Any) -> list[Any]:
        """Run a named query; return its rows."""
        sql, given = bound(self._named[name], values)
        return self._session.carry_out(self._session.raw.fetch(sql, *given))

    def gathered(self, name: str, **values: Any) -> list[Any]:
        """Return all rows: they come at once in any case."""
        return self.all(name, **values)

    def one(self, name: str, **values: Any) -> Any:
        """Run a named query; return its first row, or None."""
        rows = self.all(name, **values)
        return rows[0] if rows else None

    def change(self, name: str, **values: Any) -> int:
        """Run a named change; return how many rows it touched."""
        sql, given = bound(self._named[name], values)
        status: str = self._session.carry_out(self._session.raw.execute(sql, *given))
        return int(status.rsplit(" ", 1)[-1])


class PostgresSession:
    """A :class:`harvest.database_thread.Session`; making it connects and brings the schema forward."""

    def __init__(self, dsn: str, *, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._runner = asyncio.Runner()
        self.connection = PostgresConnection(self, queries() | queries_of_postgres())
        try:
            self._connect()
            self._migrate()
        except BaseException:  # nobody else can close the loop of what was not made
            self._runner.close()
            raise

    def _migrate(self) -> None:
        try:
            self.carry_out(migrate(self.raw, self._schema))
        except _UNAVAILABLE as error:
            self._hang_up()
            raise self.told(error) from error
        except BaseException:  # nobody else can hang up
            self._hang_up()
            raise

    def carry_out(self, work: Awaitable[_T]) -> _T:
        """Run one exchange with the server, in this thread."""
        return self._runner.get_loop().run_until_complete(work)

    def begin(self) -> None:
        """Begin, and wait for whoever writes; a connection that has died since the last time is made anew."""
        if self.raw.is_closed():
            self._connect_again()
        try:
            self._begin()
        except _LOST:
            if not self.raw.is_closed():
                self.roll_back()
                raise
            self._connect_again()
            self._begin()
        except BaseException:  # whatever it was, the next one begins anew
            self.roll_back()
            raise

    def _begin(self) -> None:
        lock = f"SELECT pg_advisory_xact_lock(hashtextextended('{self._schema}', {_SCHEMA_LOCK}))"
        self.carry_out(self.raw.execute(f"BEGIN; {lock}"))

    def _connect_again(self) -> None:
        self._hang_up()
        self._connect()

    def _connect(self) -> None:
        self.raw = self.carry_out(connect(self._dsn, self._schema))
        self._transport: asyncio.Transport = self.raw._transport  # noqa: SLF001 - see _hang_up

    def commit(self) -> None:
        """Commit."""
        self.carry_out(self.raw.execute("COMMIT"))

    def roll_back(self) -> None:
        """Give the transaction up; a connection that cannot even do that is cut."""
        try:
            if not self.raw.is_closed():
                self.carry_out(self.raw.execute("ROLLBACK"))
        except (asyncpg.PostgresError, asyncpg.InternalClientError, *_LOST):
            self.raw.terminate()

    def mark(self) -> None:
        """Remember where the transaction is."""
        self.carry_out(self.raw.execute("SAVEPOINT act"))

    def undo(self) -> bool:
        """Go back to the mark; tell False where the connection is gone."""
        try:
            self.carry_out(self.raw.execute("ROLLBACK TO SAVEPOINT act"))
        except (asyncpg.PostgresError, asyncpg.InternalClientError, *_LOST):
            return False
        return True

    def unmark(self) -> None:
        """Forget the mark."""
        self.carry_out(self.raw.execute("RELEASE SAVEPOINT act"))

    def outdated(self, error: Exception) -> bool:
        """Tell whether a prepared statement gives other columns by now; asyncpg has forgotten it."""
        return isinstance(error, asyncpg.InvalidCachedStatementError)

    def told(self, error: Exception) -> Exception:
        """Translate what the database cannot do now; what is wrong with a statement stays as it is."""
        if isinstance(error, _UNAVAILABLE):
            unavailable = DatabaseUnavailable(f"the orders' database: {type(error).__name__}")
            unavailable.__cause__ = error
            return unavailable
        return error

    def close(self) -> None:
        """Hang up."""
        try:
            self.carry_out(self.raw.close(timeout=CONNECT_SECONDS))
        except (asyncpg.PostgresError, *_LOST):
            self._hang_up()
        self._runner.close()

    def _hang_up(self) -> None:
        """Let go of the socket. A connection that the server ended calls itself closed, and keeps it."""
        self.raw.terminate()
        self._transport.abort()
        self.carry_out(asyncio.sleep(0))  # the loop closes it in its next turn


class PostgresDatabase(DatabaseThread):
    """A :class:`harvest.database.Database` in a schema of a PostgreSQL database; ``dsn`` is a libpq URI.

    Raises:
        ValueError: the schema's name is none.
    """

    def __init__(self, dsn: str, *, schema: str = DEFAULT_SCHEMA) -> None:
        name = checked_schema(schema)
        super().__init__(lambda: PostgresSession(dsn, schema=name))
