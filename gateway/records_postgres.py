"""Records on PostgreSQL, for several gateways.

Each gateway holds all values in memory. Whoever writes notifies the others (LISTEN and NOTIFY), who read the value
anew; after a lost connection all are read anew. ``version`` tells which of two readings is the newer one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.resources import files
from typing import Generic, Self, TypeVar
from weakref import WeakValueDictionary

import asyncpg
import msgspec

from gateway.records import Identified, RecordsUnavailable
from quotas.postgres.schema import checked_schema

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=Identified)

DEFAULT_SCHEMA = "lakegate_records"
_SCHEMA_LOCK = 0x7265636F
"""The number of the advisory lock under which the schema is made ("reco")."""
_STATEMENT_SECONDS = 10.0
_LOCK_SECONDS = 120.0
"""How long one waits for a lock at most: its holder may be asking an edge."""
_BEAT_SECONDS = 5.0
"""After what silence the listening connection is tried: a connection can die without telling."""
_RETRY_SECONDS = 0.5
_FAILED = (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_PUT = """
WITH written AS (
  INSERT INTO records (kind, id, body, version) VALUES ($1, $2, $3, nextval('record_version'))
  ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, version = excluded.version RETURNING version)
SELECT version, pg_notify($4, $2) FROM written
"""
_DELETE = """
WITH gone AS (DELETE FROM records WHERE kind = $1 AND id = $2 RETURNING id) SELECT pg_notify($3, id) FROM gone
"""
_READ = "SELECT body, version FROM records WHERE kind = $1 AND id = $2"
_READ_ALL = "SELECT id, body, version FROM records WHERE kind = $1"
_LOCK = "SELECT pg_advisory_lock(hashtextextended($1, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"


class PostgresRecordTable(Generic[T]):
    """A :class:`gateway.records.RecordTable` in a schema of a PostgreSQL database; an async context manager.

    ``dsn`` is a libpq URI; ``name`` tells the tables of one schema apart.

    Raises:
        RecordsUnavailable: the database cannot be used.
        ValueError: the schema's name is none.
    """

    def __init__(self, dsn: str, kind: type[T], *, name: str, schema: str = DEFAULT_SCHEMA) -> None:
        self._dsn = dsn
        self._kind = kind
        self._name = name
        self._schema = checked_schema(schema)
        self._channel = f"{schema}_{name}"
        self._values: dict[str, T] = {}
        self.changes = 0
        self._versions: dict[str, int] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._told: asyncio.Queue[str | None] = asyncio.Queue()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            with self._translated():
                await make_schema(self._dsn, self._schema)
                # Apart, so that holders of locks can always write.
                self._statements = await stack.enter_async_context(self._pool(4, _STATEMENT_SECONDS))
                self._holders = await stack.enter_async_context(self._pool(16, _LOCK_SECONDS))
                listener = await self._listen()
                await self._load()
            task = asyncio.create_task(self._follow(listener), name=f"follow {self._name}")
            stack.push_async_callback(_ended, task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def __iter__(self) -> Iterator[T]:
        """Iterate over a copy of all values, so that the table may change meanwhile."""
        return iter(list(self._values.values()))

    def get(self, record_id: str) -> T | None:
        """Return a value, or None."""
        return self._values.get(record_id)

    async def find(self, record_id: str) -> T | None:
        """Return a value, or None; look in the database where it is not in memory."""
        if record_id not in self._values:
            with self._translated():
                await self._refresh(record_id)
        return self._values.get(record_id)

    @asynccontextmanager
    async def locked(self, record_id: str) -> AsyncIterator[T | None]:
        """Hold a value against the other holders of its lock, of all gateways; give it as it is then."""
        lock = self._locks.get(record_id)
        if lock is None:
            lock = self._locks[record_id] = asyncio.Lock()
        async with lock, AsyncExitStack() as stack:
            with self._translated():
                connection = await stack.enter_async_context(self._holders.acquire())
                place = f"{self._schema}.{self._name}.{record_id}"
                await connection.execute(_LOCK, place)
                stack.push_async_callback(_unlock, connection, place)
                await self._refresh(record_id)
            yield self._values.get(record_id)

    async def put(self, value: T) -> None:
        """Write a value, then make it visible."""
        body = msgspec.json.encode(value).decode()
        with self._translated():
            version = await self._statements.fetchval(_PUT, self._name, value.id, body, self._channel)
        self._take(value, version)

    async def delete(self, record_id: str) -> None:
        """Forget a value. Idempotent."""
        with self._translated():
            await self._statements.execute(_DELETE, self._name, record_id, self._channel)
        self._values.pop(record_id, None)
        self.changes += 1

    def _take(self, value: T, version: int) -> None:
        if version >= self._versions.get(value.id, 0):
            self._values[value.id] = value
            self._versions[value.id] = version
            self.changes += 1

    async def _refresh(self, record_id: str) -> None:
        before = self._versions.get(record_id)
        row = await self._statements.fetchrow(_READ, self._name, record_id)
        if row is not None:
            self._take(msgspec.json.decode(row["body"], type=self._kind), row["version"])
        elif self._versions.get(record_id) == before:
            self._values.pop(record_id, None)
            self._versions.pop(record_id, None)
            self.changes += 1

    async def _load(self) -> None:
        """Read all values. What was written here meanwhile is newer, and stays."""
        before = set(self._values)
        rows = await self._statements.fetch(_READ_ALL, self._name)
        for row in rows:
            self._take(msgspec.json.decode(row["body"], type=self._kind), row["version"])
        for missing in before - {row["id"] for row in rows}:
            await self._refresh(missing)

    async def _follow(self, listener: asyncpg.Connection) -> None:
        """Read anew what others wrote; connect again where the connection was lost."""
        try:
            while True:
                try:
                    await self._take_over(listener)
                except (*_FAILED, msgspec.DecodeError) as error:
                    _log.warning("records not followed", extra={"table": self._name, "reason": type(error).__name__})
                    await asyncio.sleep(_RETRY_SECONDS)
                    listener.terminate()
                    with suppress(*_FAILED, msgspec.DecodeError):
                        listener = await self._listen()
                        await self._load()
        finally:
            listener.terminate()

    async def _take_over(self, listener: asyncpg.Connection) -> None:
        while True:
            try:
                record_id = await asyncio.wait_for(self._told.get(), _BEAT_SECONDS)
            except TimeoutError:
                await listener.execute("SELECT 1", timeout=_BEAT_SECONDS)
                continue
            if record_id is None:
                raise ConnectionResetError("the listening connection was lost")
            await self._refresh(record_id)

    async def _listen(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=_BEAT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings={"application_name": "lakegate records"},
        )
        told: asyncio.Queue[str | None] = asyncio.Queue()
        self._told = told
        connection.add_termination_listener(lambda _: told.put_nowait(None))
        await connection.add_listener(self._channel, lambda *notice: told.put_nowait(str(notice[3])))
        return connection

    def _pool(self, size: int, seconds: float) -> asyncpg.Pool:
        return asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=size,
            timeout=_BEAT_SECONDS,
            command_timeout=seconds,
            server_settings={"application_name": "lakegate records", "search_path": self._schema, "jit": "off"},
        )

    def _translated(self) -> "_Translated":
        return _Translated(self._name)


class _Translated:
    """Turns the database's errors into ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (*_FAILED, msgspec.DecodeError)):
            raise RecordsUnavailable(f"records of {self._name}: {type(error).__name__}") from error


async def make_schema(dsn: str, schema: str = DEFAULT_SCHEMA) -> None:
    """Make the schema where it is not there; whoever comes later waits for the first."""
    connection = await asyncpg.connect(dsn, timeout=_BEAT_SECONDS, command_timeout=_STATEMENT_SECONDS)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _SCHEMA_LOCK)
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            await connection.execute(f"SET LOCAL search_path TO {schema}")
            await connection.execute(files("gateway").joinpath("records_postgres.sql").read_text(encoding="utf-8"))
    finally:
        await connection.close(timeout=_BEAT_SECONDS)


async def schema_made(dsn: str, schema: str = DEFAULT_SCHEMA) -> bool:
    """Tell whether the schema is there."""
    connection = await asyncpg.connect(dsn, timeout=_BEAT_SECONDS, command_timeout=_STATEMENT_SECONDS)
    try:
        return await connection.fetchval("SELECT to_regclass($1)", f"{schema}.records") is not None
    finally:
        await connection.close(timeout=_BEAT_SECONDS)


async def _unlock(connection: asyncpg.Connection, place: str) -> None:
    try:
        await connection.execute(_UNLOCK, place)
    except _FAILED:
        connection.terminate()  # the server lets go of the lock with the connection


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
