"""Tables of records: the same for one gateway's file and for several gateways' database."""

import asyncio
import uuid
from contextlib import AsyncExitStack

import asyncpg
import msgspec
import pytest
from waiting import until

from gateway.records import RecordsUnavailable
from gateway.records_postgres import PostgresRecordTable
from gateway.records_sqlite import SqliteRecordTable

pytestmark = pytest.mark.seam


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    value: int = 0


@pytest.fixture(params=["sqlite", "postgresql"])
def table(request, tmp_path):
    """Open the same table, again and again."""
    if request.param == "sqlite":
        return lambda: SqliteRecordTable(tmp_path / "things.sqlite", Thing)
    return shared(request.getfixturevalue("postgresql"))


def shared(dsn):
    schema = f"records_{uuid.uuid4().hex[:12]}"
    return lambda: PostgresRecordTable(dsn, Thing, name="things", schema=schema)


@pytest.fixture
def replicas(postgresql):
    return shared(postgresql)


async def test_values_are_there_again_after_closing(table):
    async with table() as things:
        await things.put(Thing(id="a", value=1))
        await things.put(Thing(id="b"))
        await things.put(Thing(id="a", value=2))
        await things.delete("b")
        await things.delete("never")
    async with table() as things:
        assert list(things) == [Thing(id="a", value=2)]
        assert things.get("b") is None
        assert await things.find("a") == Thing(id="a", value=2)
        assert await things.find("never") is None


async def test_a_lock_is_one_holders_and_shows_what_is_there_then(table):
    async with table() as things:
        await things.put(Thing(id="a"))

        async def add():
            async with things.locked("a") as thing:
                await things.put(Thing(id="a", value=thing.value + 1))

        await asyncio.gather(*(add() for _ in range(20)))
        assert things.get("a") == Thing(id="a", value=20)
        async with things.locked("missing") as nothing:
            assert nothing is None


async def test_what_one_gateway_writes_the_others_see(replicas):
    async with replicas() as first, replicas() as second:
        await first.put(Thing(id="a", value=1))
        assert await second.find("a") == Thing(id="a", value=1)
        await first.put(Thing(id="a", value=2))
        await until(lambda: second.get("a") == Thing(id="a", value=2))
        await second.delete("a")
        await until(lambda: first.get("a") is None)


async def test_a_lock_holds_against_other_gateways(replicas):
    async with AsyncExitStack() as stack:
        tables = [await stack.enter_async_context(replicas()) for _ in range(3)]
        await tables[0].put(Thing(id="a"))

        async def add(things):
            for _ in range(10):
                async with things.locked("a") as thing:
                    await things.put(Thing(id="a", value=thing.value + 1))

        await asyncio.gather(*(add(each) for each in tables))
        assert await tables[0].find("a") is not None
        await until(lambda: all(each.get("a") == Thing(id="a", value=30) for each in tables))


async def test_after_lost_connections_all_is_read_anew(replicas, postgresql):
    async with replicas() as first, replicas() as second:
        await first.put(Thing(id="a", value=1))
        await until(lambda: second.get("a") is not None)
        killer = await asyncpg.connect(postgresql)
        others = "pid <> pg_backend_pid() AND application_name = 'lakegate records'"
        await killer.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
        await killer.close()
        for value in range(2, 5):
            async with asyncio.timeout(20):
                while True:
                    try:
                        await first.put(Thing(id="a", value=value))
                        break
                    except RecordsUnavailable:
                        await asyncio.sleep(0.05)
        await until(lambda: second.get("a") == Thing(id="a", value=4))
