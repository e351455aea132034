"""The orders' database: the same guarantees in a file and on PostgreSQL."""

import asyncio
import re
import sqlite3
import threading
import uuid
from contextlib import AsyncExitStack

import asyncpg
import pytest
from harvest_rows import active, database, shared, take_in, want
from msgspec import structs

from edges.model import Part
from harvest import claims, orders
from harvest.database_postgres import PostgresDatabase, connect, version
from harvest.database_sqlite import SqliteDatabase, SqliteSession
from harvest.database_thread import DatabaseThread
from harvest.errors import ClaimLost, DatabaseUnavailable
from harvest.model import Source
from harvest.postgres_words import bound
from harvest.sql import queries, queries_of_postgres
from harvest.taking import claim_objects

__all__ = ["database"]

pytestmark = pytest.mark.seam


async def test_what_was_written_is_there_after_opening_it_again(database):
    async with database() as first:
        await first.run(lambda c: take_in(c, "a"))
    async with database() as second:
        row = await second.run(lambda c: c.one("order_by_id", id="a"))
        assert (row["user"], row["created"], row["settled"], row["rule"]) == ("ann", 1.0, 0, None)
        assert set(row.keys()) >= {"executor", "priority"}
        assert await second.run(lambda c: c.one("order_by_id", id="b")) is None
        assert await second.run(lambda c: c.change("order_present", id="b", count=1)) == 0
        assert await second.run(lambda c: c.change("order_present", id="a", count=1)) == 1


async def test_a_new_database_is_waited_for_while_another_process_makes_it(tmp_path):
    maker = sqlite3.connect(tmp_path / "harvest.sqlite", isolation_level=None)
    maker.execute("BEGIN IMMEDIATE")
    database = SqliteDatabase(tmp_path / "harvest.sqlite", busy_seconds=5)
    opening = asyncio.create_task(database.__aenter__())
    done, _ = await asyncio.wait([opening], timeout=0.2)
    maker.execute("COMMIT")
    maker.close()
    assert not done
    opened = await opening
    try:
        assert await opened.run(lambda c: c.one("order_by_id", id="a")) is None
    finally:
        await opened.__aexit__(None, None, None)


async def test_small_objects_are_taken_as_many_as_can_be_held(database):
    async with database() as opened:
        await opened.run(lambda c: (take_in(c, "a"), active(c, "a")))
        for number in range(8):
            await opened.run(lambda c, key=str(number): want(c, "a", key, size=1 << 20))
        taken = await opened.run(lambda c: claim_objects(c, 5.0, 9.0, 32))
        assert len(taken) == claims.SMALL_TOGETHER >> 20
        assert len(await opened.run(lambda c: claim_objects(c, 5.0, 9.0, 3))) == 3


async def test_what_has_a_checksum_to_go_on_from_is_given_out_with_it_among_others(database):
    async with database() as opened:
        await opened.run(lambda c: (take_in(c, "a"), active(c, "a")))
        for number in range(3):
            await opened.run(lambda c, key=str(number): want(c, "a", key))
        (first,) = await opened.run(lambda c: claim_objects(c, 5.0, 9.0))
        first = structs.replace(first, source=Source(site="hub", href="https://hub.example/0"))
        part = Part(number=1, etag="e", size=4)

        def begun(connection):
            claims.begin_upload(connection, first, "u", 4, 10)
            claims.part_done(connection, first, part, 4, b"state")
            claims.put_off(connection, first, "give-up-claim", "", 0.0)

        await opened.run(begun)
        taken = await opened.run(lambda c: claim_objects(c, 5.0, 9.0, 32))
        assert {each.id: each.hash_state for each in taken}[first.id] == b"state"
        assert len(taken) == 3


async def test_what_breaks_the_thread_itself_leaves_nobody_waiting(tmp_path):
    class Breaking(SqliteSession):
        broken = False

        def commit(self):
            if not self.broken:
                self.broken = True
                raise SystemExit("no fault of the act")
            super().commit()

    async with DatabaseThread(lambda: Breaking(tmp_path / "harvest.sqlite", busy_seconds=1)) as there:
        with pytest.raises(DatabaseUnavailable, match="SystemExit"):
            await there.run(lambda c: take_in(c, "a"))
        assert await there.run(lambda c: take_in(c, "b")) == "b"
        assert await there.run(lambda c: c.one("order_by_id", id="a")) is None


async def test_an_act_that_fails_is_undone_and_those_beside_it_are_not(database):
    def refuse(connection):
        take_in(connection, "refused")
        raise ClaimLost("no")

    async with database() as there:
        acts = [there.run(lambda c, name=name: take_in(c, name)) for name in ("a", "b")]
        ends = await asyncio.gather(acts[0], there.run(refuse), acts[1], return_exceptions=True)
        assert [type(end) for end in ends] == [str, ClaimLost, str]
        with pytest.raises(ClaimLost):
            await there.run(refuse)
        found = await there.run(lambda c: [c.one("order_by_id", id=each) is not None for each in ("a", "b", "refused")])
    assert found == [True, True, False]


async def test_a_statement_that_is_refused_undoes_its_act_alone(database):
    async with database() as there:
        await there.run(lambda c: take_in(c, "a"))
        ends = await asyncio.gather(
            there.run(lambda c: take_in(c, "a")), there.run(lambda c: take_in(c, "b")), return_exceptions=True
        )
        assert isinstance(ends[0], Exception)
        assert ends[1] == "b"


async def test_many_who_add_up_lose_nothing(database):
    def add(connection):
        before = connection.one("order_by_id", id="a")["present"]
        connection.change("order_present", id="a", count=1)
        assert connection.one("order_by_id", id="a")["present"] == before + 1

    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(database()) for _ in range(3)]
        await several[0].run(lambda c: take_in(c, "a"))
        await asyncio.gather(*(each.run(add) for each in several for _ in range(25)))
        assert (await several[2].run(lambda c: c.one("order_by_id", id="a")))["present"] == 75


async def test_several_who_claim_at_once_never_get_the_same(database):
    def prepare(connection):
        take_in(connection, "a")
        active(connection, "a")
        for number in range(40):
            want(connection, "a", f"key-{number:02}")

    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(database()) for _ in range(3)]
        await several[0].run(prepare)

        async def claim(there):
            taken = []
            while found := await there.run(lambda c: claim_objects(c, 10.0, 20.0, 4)):
                taken += [each.key for each in found]
            return taken

        taken = await asyncio.gather(*map(claim, several))
        assert sorted(key for each in taken for key in each) == [f"key-{number:02}" for number in range(40)]


async def test_a_claim_that_lapsed_goes_to_the_next_and_the_first_can_write_no_more(database):
    async with database() as first, database() as second:
        await first.run(lambda c: (take_in(c, "a"), active(c, "a"), want(c, "a", "key")))
        (mine,) = await first.run(lambda c: claim_objects(c, 10.0, 20.0))
        assert await second.run(lambda c: claim_objects(c, 15.0, 25.0)) == []
        (theirs,) = await second.run(lambda c: claim_objects(c, 21.0, 31.0))
        assert (theirs.id, theirs.fence) == (mine.id, mine.fence + 1)
        with pytest.raises(ClaimLost):
            await first.run(lambda c: claims.checked(c, mine, 10, None))
        await second.run(lambda c: claims.checked(c, theirs, 10, None))


async def test_a_run_gives_out_its_own_orders_objects_and_none_to_be_deleted(database):
    def prepare(connection):
        for name in ("near", "far"):
            take_in(connection, name)
            connection.change("order_planned", id=name, bytes=10, executor="local" if name == "near" else "dask")
            active(connection, name)
            want(connection, name, name)

    async with database() as there:
        await there.run(prepare)
        assert [each.key for each in await there.run(lambda c: claim_objects(c, 10.0, 20.0, 8))] == ["near"]
        far = await there.run(lambda c: claim_objects(c, 10.0, 20.0, 8, "far"))
        assert [each.key for each in far] == ["far"]
        await there.run(lambda c: orders.cancel(c, "far", 11.0))
        assert await there.run(lambda c: claim_objects(c, 12.0, 20.0, 8, "far")) == []
        assert [each.state for each in await there.run(lambda c: claim_objects(c, 12.0, 20.0, 8))] == ["DELETING"]


async def test_keys_come_in_the_order_of_their_bytes(database):
    keys = ["a/1", "A/1", "a-1", "a_1", "á/1", "Z", "~x", "a/"]

    def prepare(connection):
        take_in(connection, "a")
        for key in keys:
            want(connection, "a", key)

    async with database() as there:
        await there.run(prepare)

        def visible(connection):
            for key in keys:
                made = connection.one("object_by_key", target="edge-a", key=key)["id"]
                connection.change("objects_claim", rows=claims.as_rows([(made,)]), until=5.0)
                fence = connection.one("object_claimed", id=made)["fence"]
                connection.change("object_checked", id=made, fence=fence, digest=None, total=1, source="{}")
                connection.change("object_available", id=made, fence=fence, now=1.0)
            return [each["key"] for each in connection.all("audited_objects", target="edge-a", after="", limit=100)]

        assert await there.run(visible) == sorted(keys, key=str.encode)


async def test_text_with_a_nul_is_kept_somehow(database):
    async with database() as there:
        await there.run(lambda c: take_in(c, "a", fingerprint="x\x00y"))
        assert (await there.run(lambda c: c.one("order_by_id", id="a")))["fingerprint"][0] == "x"


async def test_a_caller_who_goes_away_stops_nothing_that_has_begun(database):
    begun, go = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        go.wait(10)
        return take_in(connection, "a")

    async with database() as there:
        caller = asyncio.create_task(there.run(slow))
        await asyncio.to_thread(begun.wait, 10)
        caller.cancel()
        go.set()
        await asyncio.gather(caller, return_exceptions=True)
        assert await there.run(lambda c: c.one("order_by_id", id="a")) is not None


async def test_a_schema_of_a_newer_release_is_left_alone(database, tmp_path, request):
    async with database() as there:
        await there.run(lambda c: take_in(c, "a"))
    await newer(database, tmp_path, request)
    with pytest.raises(RuntimeError, match="newer release"):
        async with database():
            raise AssertionError("it was opened")


async def newer(database, tmp_path, request):
    made = database()
    if isinstance(made, SqliteDatabase):
        with sqlite3.connect(tmp_path / "harvest.sqlite") as raw:
            raw.execute("PRAGMA user_version = 999")
        raw.close()
        return
    async with made as there:
        schema = there._session._schema
    raw = await asyncpg.connect(request.getfixturevalue("postgresql"))
    await raw.execute(f"INSERT INTO {schema}.migration VALUES (999)")  # noqa: S608 - the test's own schema
    await raw.close()


# -- PostgreSQL alone ----------------------------------------------------------------------------------------


@pytest.fixture
def replicas(postgresql):
    return shared(postgresql)


@pytest.mark.service
async def test_a_connection_that_was_cut_is_made_anew(replicas, postgresql):
    async with replicas() as there:
        await there.run(lambda c: take_in(c, "a"))
        other = await asyncpg.connect(postgresql)
        await other.execute("SELECT pg_terminate_backend($1)", there._session.raw.get_server_pid())
        await other.close()
        assert await there.run(lambda c: c.one("order_by_id", id="a")) is not None


@pytest.mark.service
async def test_a_connection_that_is_cut_within_a_transaction_leaves_nothing_and_says_so(replicas, postgresql):
    async with replicas() as there, replicas() as other:
        pid, cut = there._session.raw.get_server_pid(), threading.Event()
        held = threading.Event()

        def slow(connection):
            take_in(connection, "a")
            held.set()
            cut.wait(10)
            return take_in(connection, "b")

        caller = asyncio.create_task(there.run(slow))
        await asyncio.to_thread(held.wait, 10)
        raw = await asyncpg.connect(postgresql)
        await raw.execute("SELECT pg_terminate_backend($1)", pid)
        await raw.close()
        cut.set()
        with pytest.raises(DatabaseUnavailable):
            await caller
        assert await other.run(lambda c: c.one("order_by_id", id="a")) is None
        assert await there.run(lambda c: c.one("order_by_id", id="a")) is None


@pytest.mark.service
async def test_where_there_is_no_server_it_says_so():
    with pytest.raises(DatabaseUnavailable):
        async with PostgresDatabase("postgresql://nobody@127.0.0.1:1/none", schema="h"):
            raise AssertionError("it was opened")
    with pytest.raises(ValueError, match="schema"):
        PostgresDatabase("postgresql://", schema="Robert'); --")


@pytest.mark.service
async def test_the_schema_can_be_asked_for_its_version(replicas, postgresql):
    made = replicas()
    schema = f"harvest_{uuid.uuid4().hex[:12]}"
    raw = await connect(postgresql, schema)
    assert (await version(raw))[0] == 0
    await raw.close()
    async with made as there:
        raw = await connect(postgresql, there._session._schema)
        found, known = await version(raw)
        await raw.close()
    assert found == known > 0


@pytest.mark.service
async def test_every_query_is_one_that_the_server_understands(replicas, postgresql):
    """Each is prepared without its values: names, tables, columns and functions are all there."""
    async with replicas() as there:
        raw = await connect(postgresql, there._session._schema)
        wrong = {}
        for name, sql in (queries() | queries_of_postgres()).items():
            values = dict.fromkeys(re.findall(r":([a-z_]+)", sql)) | {"now": 0.0}
            try:
                await raw.prepare(bound(sql, values)[0])
            except asyncpg.PostgresError as error:
                wrong[name] = str(error)
        await raw.close()
    assert wrong == {}


@pytest.mark.parametrize("alone", [True, False])
async def test_a_schema_that_a_newer_release_brings_forward_fails_no_act(database, alone):
    async with database() as running:
        await running.run(lambda c: take_in(c, "a"))

        def read(connection):
            return dict(connection.one("order_by_id", id="a"))["id"]

        for _ in range(10):  # so that the statement is prepared, and kept
            assert await running.run(read) == "a"
        await running.run(lambda c: _executed(c, "ALTER TABLE orders ADD COLUMN of_the_next_release TEXT"))
        assert await asyncio.gather(*(running.run(read) for _ in range(1 if alone else 5))) == ["a"] * (
            1 if alone else 5
        )


def _executed(connection, statement):
    """Change the schema, as another process does."""
    if hasattr(connection, "_session"):
        connection._session.carry_out(connection._session.raw.execute(statement))
    else:
        connection._raw.execute(statement)
