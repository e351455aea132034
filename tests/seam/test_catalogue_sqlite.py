import asyncio
import contextlib
import sqlite3

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.sqlite import SqliteCatalogue
from edges.catalogues.sqlite_migrations import MIGRATIONS, migrate
from edges.catalogues.sqlite_plan import CollectionFacts, gather, plan, walk
from edges.catalogues.sqlite_pushdown import exact_clause, pushed_clauses
from edges.catalogues.sqlite_rows import row_of, sort_value
from edges.catalogues.sqlite_store import connect
from edges.errors import InvalidInput, SiteUnavailable
from edges.model import Interval, Query, SortKey
from edges.stac.cql2 import parse_filter_text
from edges.stac.matching import compile_query
from edges.stac.order import total_order

pytestmark = pytest.mark.seam

FACTS = {name: CollectionFacts(1_000, 0, 0, odd=False) for name in "abc"}


def collection(name):
    return {"id": name, "type": "Collection"}


def item(number):
    return {
        "id": f"i{number:05}",
        "collection": "c",
        "geometry": {"type": "Point", "coordinates": [number % 360 - 180, 0]},
        "properties": {"datetime": "2020-01-01T00:00:00Z", "custom": number},
    }


@pytest.fixture
def connection(tmp_path):
    opened = connect(tmp_path / "plans.db", writer=True)
    migrate(opened)
    yield opened
    opened.close()


def explained(connection, clause):
    rows = connection.execute(f"EXPLAIN QUERY PLAN {clause.sql}", clause.values).fetchall()
    return " | ".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(), "items_by_datetime"),
        (Query(datetime=Interval(start=0, end=1)), "items_by_datetime"),
        (Query(collections=("a", "b")), "items_by_datetime"),
        (Query(collections=("a",)), "items_of_collection_by_datetime"),
        (Query(bbox=(0, 0, 90, 90)), "items_by_datetime"),
        (Query(filter=parse_filter_text("platform = 'x' AND gsd < 20")), "items_by_datetime"),
        (Query(filter=parse_filter_text("eo:cloud_cover < 20")), "items_by_datetime"),
        (
            Query(filter=parse_filter_text("eo:cloud_cover < 20"), sortby=(SortKey(field="eo:cloud_cover"),)),
            "items_by_cloud_cover",
        ),
        (Query(sortby=(SortKey(field="id"),)), "items_by_id"),
        (Query(sortby=(SortKey(field="id", descending=True),)), "items_by_id"),
        (Query(sortby=(SortKey(field="eo:cloud_cover"),)), "items_by_cloud_cover"),
        (Query(sortby=(SortKey(field="updated"),)), "items_by_updated"),
    ],
)
@pytest.mark.parametrize("started", [False, True])
def test_a_walk_goes_along_the_index_of_its_order(connection, query, index, started):
    order = total_order(query.sortby)
    after = tuple("x" if key.field in ("id", "collection") else 5 for key in order) if started else None
    made = plan(query, order, FACTS)
    plans = [explained(connection, clause) for clause in walk(made, after)]
    assert plans
    for told in plans:
        assert "TEMP B-TREE FOR ORDER BY" not in told, told  # sorting the ties alone is cheap
        assert "USING" in told
    assert any(index in told for told in plans), plans


def test_a_gathering_enters_by_the_box(connection):
    query = Query(bbox=(0, 0, 1, 1))
    made = plan(query, total_order(()), FACTS)
    told = explained(connection, gather(made, made.drivers[0], None))
    assert "VIRTUAL TABLE" in told
    assert "SEARCH i USING INTEGER PRIMARY KEY" in told


def test_only_conjuncts_that_lose_nothing_are_pushed_down():
    text = "gsd < 10 AND (platform = 'a' OR x = 1) AND NOT updated > TIMESTAMP('2020-01-01T00:00:00Z') AND y = 2"
    clauses = pushed_clauses(parse_filter_text(text), odd=False)
    assert [clause.sql for clause in clauses] == ["i.gsd < ?"]
    times = parse_filter_text("datetime < TIMESTAMP('2020-01-01T00:00:00Z') AND gsd = 1")
    assert len(pushed_clauses(times, odd=False)) == 2
    assert [clause.sql for clause in pushed_clauses(times, odd=True)] == ["i.gsd = ?"]


TIMES = st.sampled_from([None, "2020-01-01T00:00:00Z", "2020-01-01", "2020-01-01T00:00:00.000001Z", "2021-01-01"])
INSTANTS = st.sampled_from([{"timestamp": f"2020-01-01T00:00:00{fraction}Z"} for fraction in ("", ".000001")])
SIGNS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
DECIDED = st.recursive(
    st.builds(
        lambda sign, pair, turned: {"op": sign, "args": list(reversed(pair)) if turned else list(pair)},
        SIGNS,
        st.tuples(st.just({"property": "datetime"}), INSTANTS)
        | st.tuples(
            st.sampled_from([{"property": "id"}, {"property": "collection"}]), st.sampled_from(["a", "b", "é"])
        ),
        st.booleans(),
    )
    | st.just({"op": "isNull", "args": [{"property": "datetime"}]}),
    lambda inner: st.builds(
        lambda op, args: {"op": op, "args": args},
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=5,
)


@examples(100)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "é"]), TIMES), max_size=6), DECIDED)
def test_a_filter_that_sql_decides_finds_what_its_evaluation_does(rows, filter_):
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE i (number, collection, id, datetime)")
        items = []
        for number, (name, moment) in enumerate(rows):
            items.append({"id": name, "collection": "b", "properties": {"datetime": moment}})
            stored = sort_value("datetime", moment)
            connection.execute("INSERT INTO i VALUES (?, 'b', ?, ?)", (number, name, stored))
        clause = exact_clause(filter_, odd=False)
        sql = f"SELECT number FROM i WHERE {clause.sql} ORDER BY number"  # noqa: S608 - what is under test
        found = connection.execute(sql, clause.values)
        match = compile_query(Query(filter=filter_))
        raws = [{name: msgspec.Raw(msgspec.json.encode(value)) for name, value in each.items()} for each in items]
        assert [number for (number,) in found] == [number for number, raw in enumerate(raws) if match(raw)]


@pytest.mark.parametrize(
    "text",
    [
        "datetime < DATE('2020-01-01')",
        "created < TIMESTAMP('2020-01-01T00:00:00Z')",
        "eo:cloud_cover <> 5",
        "NOT id = 'a'",
        "id = 'a' OR platform = 'x'",
        "id = collection",
        "CASEI(id) = 'a'",
        "datetime < updated",
    ],
)
def test_what_sql_decides_otherwise_is_left_to_evaluation(text):
    assert exact_clause(parse_filter_text(text), odd=False) is None


def test_where_times_may_be_no_instants_sql_decides_nothing_of_them():
    filter_ = parse_filter_text("datetime < TIMESTAMP('2020-01-01T00:00:00Z')")
    assert exact_clause(filter_, odd=False) is not None
    assert exact_clause(filter_, odd=True) is None


async def test_a_page_that_goes_on_by_a_filter_is_as_exact_as_one_by_position(tmp_path):
    async with SqliteCatalogue(tmp_path / "x.db") as catalogue:
        await catalogue.put_collection(collection("c"))
        await catalogue.put_items("c", [item(number) for number in range(30)])
        filter_ = parse_filter_text("datetime <= TIMESTAMP('2020-01-01T00:00:00Z') AND id > 'i00019'")
        page = await catalogue.search(Query(filter=filter_), limit=4)
        assert [msgspec.json.decode(each["id"]) for each in page.items] == [f"i{number:05}" for number in range(20, 24)]
        assert page.matched == 10
        assert (await catalogue.search(Query(filter=filter_), limit=10)).next is None


def test_a_name_in_a_query_never_becomes_sql(connection):
    evil = 'id" ASC, (SELECT 1) --'
    query = Query(sortby=(SortKey(field=evil),), filter=parse_filter_text("a = 1"), collections=(evil,), ids=(evil,))
    made = plan(query, total_order(query.sortby), FACTS)
    assert made.order == ()
    assert all(evil not in clause.sql for clause in (*made.where, *made.drivers))


@pytest.mark.parametrize("value", [10**30, -(10**30), 1.5, 0, -1])
def test_any_number_can_be_stored(connection, value):
    stored = connection.execute("SELECT ?", (sort_value("gsd", value),)).fetchone()[0]
    assert stored == pytest.approx(value)


@pytest.mark.parametrize(
    "body",
    [b'{"id":"\xff","properties":{}}', b'{"id":"i","properties":{},"x":"\xff"}', b'{"properties":{}}', b"[" * 100_000],
)
def test_bytes_that_are_no_item_are_refused(body):
    with pytest.raises(InvalidInput):
        row_of(body, "c")


async def test_a_search_that_takes_too_long_is_given_up(tmp_path):
    async with SqliteCatalogue(tmp_path / "c.db", search_seconds=0) as catalogue:
        await catalogue.put_collection(collection("c"))
        await catalogue.put_items("c", [item(1)])
        with pytest.raises(SiteUnavailable, match="longer than 0 s"):
            await catalogue.search(Query(), limit=1)


async def test_a_search_that_nobody_waits_for_frees_its_reader(tmp_path):
    async with SqliteCatalogue(tmp_path / "c.db", readers=1) as catalogue:
        await catalogue.put_collection(collection("c"))
        await catalogue.put_items("c", [item(number) for number in range(5_000)])
        slow = Query(sortby=(SortKey(field="custom"),))
        tasks = [asyncio.create_task(catalogue.search(slow, limit=10)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        async with asyncio.timeout(5):
            assert (await catalogue.search(Query(), limit=1)).matched == 5_000


async def test_readers_go_on_while_a_writer_writes(tmp_path):
    async with SqliteCatalogue(tmp_path / "c.db") as catalogue:
        await catalogue.put_collection(collection("c"))
        writing = asyncio.create_task(catalogue.put_items("c", [item(number) for number in range(3_000)]))
        seen = set()
        while not writing.done():
            seen.add((await catalogue.search(Query(), limit=1)).matched)
        await writing
        assert seen <= {0, 3_000}, "all or none of a transaction is seen"
        assert (await catalogue.search(Query(), limit=1)).matched == 3_000


async def test_what_was_written_is_there_after_opening_again(tmp_path):
    for expected in (0, 1):
        async with SqliteCatalogue(tmp_path / "c.db") as catalogue:
            assert (await catalogue.search(Query(), limit=1)).matched == expected
            await catalogue.put_collection(collection("c"))
            await catalogue.put_items("c", [item(1)])


async def test_a_file_of_a_later_release_is_refused(tmp_path):
    path = tmp_path / "c.db"
    with sqlite3.connect(path) as later:
        later.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    later.close()
    with pytest.raises(SiteUnavailable, match="newer release"):
        async with SqliteCatalogue(path):
            pass


async def test_a_file_that_kept_full_dates_as_text_is_brought_up_to_date(tmp_path):
    path = tmp_path / "c.db"
    dated = item(1) | {"properties": {"datetime": "2020-02-01", "created": "2020-03-01"}}
    spanned = item(3) | {"properties": {"datetime": None, "start_datetime": "2020-01-01", "end_datetime": "2020-01-31"}}
    async with SqliteCatalogue(path) as catalogue:
        await catalogue.put_collection(collection("c"))
        await catalogue.put_items("c", [dated, item(2), spanned])
    fresh = rows_of(path)
    with sqlite3.connect(path) as earlier:  # what the first release wrote of these items
        texts = "UPDATE items SET datetime = ?, created = ?, starts = NULL, ends = NULL WHERE id = 'i00001'"
        earlier.execute(texts, (b"\x012020-02-01", b"\x012020-03-01"))
        earlier.execute("UPDATE items SET starts = NULL, ends = NULL WHERE id = 'i00003'")
        earlier.execute("UPDATE collections SET odd = 1")
        earlier.execute("PRAGMA user_version = 1")
    earlier.close()
    assert rows_of(path) != fresh
    async with SqliteCatalogue(path) as catalogue:
        assert rows_of(path) == fresh
        found = await catalogue.search(Query(datetime=Interval(start=0, end=1_580_515_200_000_000)), limit=10)
        assert len(found.items) == 3


def rows_of(path):
    reading = sqlite3.connect(path)
    try:
        odd = reading.execute("SELECT id, odd FROM collections").fetchall()
        return [*odd, *reading.execute("SELECT id, datetime, starts, ends, created, updated FROM items ORDER BY id")]
    finally:
        reading.close()


async def test_a_closed_catalogue_says_so(tmp_path):
    async with SqliteCatalogue(tmp_path / "c.db") as catalogue:
        pass
    with pytest.raises(SiteUnavailable, match="closed"):
        await catalogue.search(Query(), limit=1)
    with pytest.raises(SiteUnavailable, match="closed"):
        await catalogue.load([tmp_path])
