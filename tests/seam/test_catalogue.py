from contextlib import asynccontextmanager

import msgspec
import pytest
from small_catalogue import collection, fill, ids, item, point, square, walk

from edges.catalogues.memory import MemoryCatalogue
from edges.catalogues.sqlite import SqliteCatalogue
from edges.errors import InvalidInput, NotFound
from edges.model import Interval, Query, SortKey
from edges.stac.cql2 import parse_filter_text

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
