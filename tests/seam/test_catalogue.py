import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.memory import MemoryCatalogue
from edges.catalogues.sqlite import SqliteCatalogue
from edges.errors import InvalidInput, NotFound
from edges.model import Interval, Query, SortKey
from edges.stac.cql2 import check_filter, parse_filter_text

pytestmark = pytest.mark.seam


@asynccontextmanager
async def opened(kind, folder):
    if kind == "memory":
        yield MemoryCatalogue()
    else:
        async with SqliteCatalogue(folder / "catalogue.db", readers=2) as catalogue:
            yield catalogue


@pytest.fixture(params=["memory", "sqlite"])
async def catalogue(request, tmp_path):
    async with opened(request.param, tmp_path) as one:
        yield one


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def square(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def item(item_id, collection="c", geometry=None, **properties):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": collection,
        "geometry": geometry,
        "properties": {"datetime": "2020-01-01T00:00:00Z"} | properties,
        "links": [],
        "assets": {},
    }


def collection(name):
    return {
        "type": "Collection",
        "id": name,
        "description": "d",
        "license": "other",
        "extent": {},
        "links": [],
    }


async def fill(catalogue, items):
    by_collection = {}
    for one in items:
        by_collection.setdefault(one["collection"], []).append(one)
    for name, members in by_collection.items():
        await catalogue.put_collection(collection(name))
        await catalogue.put_items(name, members)


def ids(batch):
    return [msgspec.json.decode(one["id"]) for one in batch.items]


async def walk(catalogue, query, limit):
    found, after = [], None
    while True:
        batch = await catalogue.search(query, limit=limit, after=after)
        found += [(msgspec.json.decode(one["collection"]), msgspec.json.decode(one["id"])) for one in batch.items]
        assert len(batch.items) <= limit
        if batch.next is None:
            return found
        assert batch.items, "an empty page must be the last"
        after = batch.next


async def test_an_empty_catalogue_answers_an_empty_page(catalogue):
    batch = await catalogue.search(Query(), limit=10)
    assert (batch.items, batch.next, batch.matched) == ([], None, 0)
    assert await catalogue.collections() == []
    assert await catalogue.item("c", "i") is None


async def test_what_is_put_is_given_back_as_it_was(catalogue):
    await catalogue.put_collection(collection("c"))
    one = item("ä/1", geometry=point(1.5, 2), value=1e-7, deep={"a": [1, None, True]})
    await catalogue.put_items("c", [one])
    assert msgspec.json.decode(msgspec.json.encode(await catalogue.item("c", "ä/1"))) == one
    assert await catalogue.collections() == [collection("c")]


async def test_an_item_without_a_collection_gets_the_one_that_it_is_put_into(catalogue):
    await catalogue.put_collection(collection("c"))
    one = item("i")
    del one["collection"]
    await catalogue.put_items("c", [one])
    assert msgspec.json.decode((await catalogue.item("c", "i"))["collection"]) == "c"


async def test_putting_again_replaces(catalogue):
    await fill(catalogue, [item("i", geometry=point(1, 1)), item("j", geometry=point(1, 1))])
    await fill(catalogue, [item("i", geometry=point(50, 50), gsd=5)])
    assert ids(await catalogue.search(Query(bbox=(0, 0, 2, 2)), limit=10)) == ["j"]
    assert ids(await catalogue.search(Query(bbox=(49, 49, 51, 51)), limit=10)) == ["i"]
    assert len(await walk(catalogue, Query(), 10)) == 2


async def test_an_item_into_a_collection_that_is_not_there_is_refused(catalogue):
    with pytest.raises(NotFound):
        await catalogue.put_items("nowhere", [item("i", "nowhere")])


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": 5}, "id"),
        ({"id": "a\x00b"}, "id"),
        ({"collection": "other"}, "collection"),
        ({"properties": None}, "properties"),
        ({"properties": {"datetime": 5}}, "properties.datetime"),
        ({"geometry": "POINT(1 1)"}, "geometry"),
    ],
)
async def test_of_items_with_a_broken_one_none_is_written(catalogue, broken, field):
    await catalogue.put_collection(collection("c"))
    with pytest.raises(InvalidInput) as refused:
        await catalogue.put_items("c", [item("good"), item("bad") | broken])
    assert refused.value.field == field
    assert await catalogue.item("c", "good") is None


async def test_keys_after_those_that_name_an_item_decide_nothing(catalogue):
    await fill(catalogue, [item("a"), item("b", platform="p"), item("c"), item("a", "d", platform="q")])
    named = tuple(SortKey(field=field, descending=field == "id") for field in ("id", "collection"))
    beyond = (*named, SortKey(field="platform"), SortKey(field="gsd", descending=True))
    for limit in (1, 2, 10):
        found = await walk(catalogue, Query(sortby=beyond), limit)
        assert found == await walk(catalogue, Query(sortby=named), limit)
        assert found == [("c", "c"), ("c", "b"), ("c", "a"), ("d", "a")]


async def test_deleting_tells_whether_it_was_there(catalogue):
    await fill(catalogue, [item("i", geometry=point(1, 1))])
    assert await catalogue.delete_item("c", "i")
    assert not await catalogue.delete_item("c", "i")
    assert ids(await catalogue.search(Query(bbox=(0, 0, 2, 2)), limit=10)) == []
    assert (await catalogue.search(Query(), limit=1)).matched == 0


async def test_the_default_order_is_newest_first_then_collection_then_id(catalogue):
    items = [
        item("b", "x", datetime="2020-01-01T00:00:00Z"),
        item("a", "y", datetime="2020-01-01T01:00:00+01:00"),
        item("a", "x", datetime="2020-01-01T00:00:00.0Z"),
        item("old", "x", datetime="1950-01-01T00:00:00Z"),
        item("null", "a", datetime=None),
        item("odd", "a", datetime="2019-07"),
        item("day", "a", datetime="2019-07-01"),
        item("day", "b", datetime="2019-07-01T00:00:00.000001Z"),
    ]
    await fill(catalogue, items)
    everything = await walk(catalogue, Query(), 100)
    newest = [("a", "odd"), ("x", "a"), ("x", "b"), ("y", "a"), ("b", "day"), ("a", "day")]
    assert everything == [*newest, ("x", "old"), ("a", "null")]
    for limit in (1, 2, 4):
        assert await walk(catalogue, Query(), limit) == everything


@pytest.mark.parametrize("field", ["eo:cloud_cover", "anything"])
@pytest.mark.parametrize("descending", [False, True])
async def test_mixed_values_sort_by_kind_and_null_stands_last(catalogue, field, descending):
    values = {"n1": 1, "n2": 2.5, "f": False, "t": True, "s": "a", "s2": "b", "o": [1], "z": None, "i": 1}
    await fill(catalogue, [item(name, **{field: value}) for name, value in values.items()])
    rising = ["i", "n1", "n2", "f", "t", "s", "s2", "o", "z"]
    falling = ["o", "s2", "s", "t", "f", "n2", "i", "n1", "z"]  # ties are broken by id, ascending, either way
    expected = falling if descending else rising
    query = Query(sortby=(SortKey(field=field, descending=descending),))
    for limit in (1, 2, 100):
        assert [name for _, name in await walk(catalogue, query, limit)] == expected


async def test_a_position_is_refused_where_it_does_not_belong(catalogue):
    await fill(catalogue, [item(f"i{n}") for n in range(3)])
    after = (await catalogue.search(Query(), limit=1)).next
    other = Query(sortby=(SortKey(field="id"),))
    for query, position in [
        (other, after),
        (Query(), after + "x"),
        (Query(), "?"),
        (Query(), ""),
        (Query(), "a" * 9000),
    ]:
        with pytest.raises(InvalidInput, match="token"):
            await catalogue.search(query, limit=1, after=position)


async def test_items_written_between_pages_repeat_and_lose_nothing(catalogue):
    await fill(catalogue, [item(f"i{n}", datetime=f"2020-01-0{n}T00:00:00Z") for n in range(1, 7)])
    first = await catalogue.search(Query(), limit=3)
    await fill(catalogue, [item("new", datetime="2021-01-01T00:00:00Z")])
    await catalogue.delete_item("c", "i4")
    rest = await catalogue.search(Query(), limit=10, after=first.next)
    assert ids(first) + ids(rest) == ["i6", "i5", "i4", "i3", "i2", "i1"]


async def test_a_box_over_the_antimeridian_finds_both_sides(catalogue):
    split = {
        "type": "MultiPolygon",
        "coordinates": [square(178, 0, 180, 2)["coordinates"], square(-180, 0, -178, 2)["coordinates"]],
    }
    await fill(
        catalogue,
        [
            item("west", geometry=point(-179, 1)),
            item("east", geometry=point(179, 1)),
            item("split", geometry=split),
            item("middle", geometry=point(0, 1)),
        ],
    )
    assert set(ids(await catalogue.search(Query(bbox=(170, 0, -170, 2)), limit=9))) == {
        "west",
        "east",
        "split",
    }
    assert ids(await catalogue.search(Query(bbox=(-10, 0, 10, 2)), limit=9)) == ["middle"]


async def test_an_item_of_a_long_time_is_found_inside_it(catalogue):
    year = {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-12-31T00:00:00Z"}
    await fill(
        catalogue,
        [
            item("whole", datetime="2020-07-01T00:00:00Z", **year),
            item("null", datetime=None, **year),
            item("point"),
        ],
    )
    may = Interval(start=1_588_291_200_000_000, end=1_588_377_600_000_000)
    assert set(ids(await catalogue.search(Query(datetime=may), limit=9))) == {"whole", "null"}


async def test_no_names_match_nothing(catalogue):
    await fill(catalogue, [item("i")])
    for query in (Query(ids=()), Query(collections=()), Query(collections=("nowhere",))):
        assert (await catalogue.search(query, limit=1)).items == []


coordinates = st.tuples(st.integers(-180, 180), st.integers(-90, 90))


@st.composite
def squares(draw):
    (x, y), (x2, y2) = draw(coordinates), draw(coordinates)
    return square(min(x, x2), min(y, y2), max(x, x2), max(y, y2)) if x != x2 and y != y2 else point(x, y)


times = st.sampled_from(
    [
        None,
        "2020-01-01T00:00:00Z",
        "2020-01-01T00:00:00.5Z",
        "2020-06-01T02:00:00+02:00",
        "2021-01-01T00:00:00Z",
        "2020-06-01",
    ]
)
numbers = st.one_of(st.none(), st.integers(-2, 3), st.sampled_from([0.5, 10.0, "x", True]))
items = st.builds(
    lambda name, home, geometry, moment, cover, **others: item(
        name, home, geometry, datetime=moment, **{"eo:cloud_cover": cover, "custom:number": cover}, **others
    ),
    st.sampled_from("abcdefgh"),
    st.sampled_from("CDE"),
    st.one_of(st.none(), squares()),
    times,
    numbers,
    platform=st.sampled_from([None, "p", "q"]),
    start_datetime=st.sampled_from([None, "2019-01-01T00:00:00Z", "2020-05-01T00:00:00Z"]),
    end_datetime=st.sampled_from([None, "2022-01-01T00:00:00Z"]),
    created=times,
    gsd=numbers,
)
moments = st.sampled_from([1_577_836_800_000_000, 1_577_836_800_500_000, 1_590_969_600_000_000, 1_609_459_200_000_000])
intervals = st.one_of(
    moments.map(lambda a: Interval(start=a)),
    moments.map(lambda a: Interval(end=a)),
    st.tuples(moments, moments).map(lambda pair: Interval(start=min(pair), end=max(pair))),
)
boxes = st.tuples(coordinates, coordinates).map(
    lambda pair: (pair[0][0], min(pair[0][1], pair[1][1]), pair[1][0], max(pair[0][1], pair[1][1]))
)
names = st.sampled_from(
    ["eo:cloud_cover", "custom:number", "gsd", "datetime", "created", "platform", "id", "collection"]
)
literals = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([0.5, "p", "a", "C", True, "2020-06-01", "2020-01-01T00:00:00Z"]),
    st.sampled_from([{"timestamp": "2020-01-01T00:00:00.500Z"}, {"date": "2020-06-01"}]),
)
comparisons = st.builds(
    lambda sign, name, value, turned: {
        "op": sign,
        "args": [value, {"property": name}] if turned else [{"property": name}, value],
    },
    st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
    names,
    literals,
    st.booleans(),
)
others = st.one_of(
    st.builds(
        lambda name, low, high: {"op": "between", "args": [{"property": name}, low, high]},
        names,
        literals,
        literals,
    ),
    st.builds(
        lambda name, many: {"op": "in", "args": [{"property": name}, many]},
        names,
        st.lists(literals, max_size=3),
    ),
    st.builds(lambda name: {"op": "isNull", "args": [{"property": name}]}, names),
    st.builds(
        lambda name, first, kind: {
            "op": kind,
            "args": [{"property": name}, {"interval": [first, ".."]}],
        },
        st.sampled_from(["datetime", "created"]),
        st.sampled_from(["2020-01-01", "2020-06-01T00:00:00Z", ".."]),
        st.sampled_from(["t_during", "t_intersects", "t_after", "t_before", "t_disjoint", "t_starts"]),
    ),
    st.builds(
        lambda kind, shape: {"op": kind, "args": [{"property": "geometry"}, shape]},
        st.sampled_from(["s_intersects", "s_within", "s_disjoint", "s_contains", "s_touches"]),
        st.one_of(squares(), boxes.map(lambda box: {"bbox": list(box)})),
    ),
)
filters = st.recursive(
    st.one_of(comparisons, others),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda args: {"op": "and", "args": args}),
        st.lists(inner, min_size=2, max_size=3).map(lambda args: {"op": "or", "args": args}),
        inner.map(lambda arg: {"op": "not", "args": [arg]}),
    ),
    max_leaves=4,
).map(check_filter)
sort_keys = st.builds(
    SortKey,
    field=st.sampled_from(["datetime", "eo:cloud_cover", "custom:number", "id", "collection", "created", "platform"]),
    descending=st.booleans(),
)
queries = st.builds(
    lambda area, **rest: Query(**area, **rest),
    st.one_of(st.just({}), boxes.map(lambda box: {"bbox": box}), squares().map(lambda shape: {"intersects": shape})),
    collections=st.one_of(st.none(), st.lists(st.sampled_from("CDEF"), max_size=3, unique=True).map(tuple)),
    ids=st.one_of(st.none(), st.none(), st.lists(st.sampled_from("abcxyz"), max_size=4, unique=True).map(tuple)),
    datetime=st.one_of(st.none(), intervals),
    filter=st.one_of(st.none(), filters),
    sortby=st.lists(sort_keys, max_size=3, unique_by=lambda key: key.field).map(tuple),
)


@examples(60, slow=True)
@given(st.lists(items, max_size=25), st.lists(queries, min_size=1, max_size=12), st.integers(1, 7))
def test_sqlite_answers_every_query_as_memory_does(tmp_path_factory, things, asked, limit):
    async def compare():
        memory = MemoryCatalogue()
        async with SqliteCatalogue(tmp_path_factory.mktemp("db") / "c.db", readers=1) as sqlite:
            for one in (memory, sqlite):
                await fill(one, things)
            for query in asked:
                expected = await walk(memory, query, 1000)
                assert await walk(sqlite, query, limit) == expected
                assert await walk(memory, query, limit) == expected
                matched = (await sqlite.search(query, limit=limit)).matched
                assert matched in (None, len(expected))

    asyncio.run(compare())


async def test_a_text_filter_is_exact(catalogue):
    await fill(catalogue, [item("a", **{"eo:cloud_cover": 5}), item("b", **{"eo:cloud_cover": 50}), item("c")])
    query = Query(filter=parse_filter_text("eo:cloud_cover < 10 OR eo:cloud_cover IS NULL"))
    assert ids(await catalogue.search(query, limit=9)) == ["a", "c"]


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_of_items_without_the_first_sorted_field_the_next_one_decides(catalogue, limit):
    await fill(
        catalogue,
        [item("a", "C", datetime=None), item("b", "D", datetime=None, **{"eo:cloud_cover": 0}), item("c", "E")],
    )
    order = (SortKey(field="datetime"), SortKey(field="eo:cloud_cover"))
    assert await walk(catalogue, Query(sortby=order), limit) == [("E", "c"), ("D", "b"), ("C", "a")]
