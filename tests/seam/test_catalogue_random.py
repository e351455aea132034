"""The embedded catalogue answers random queries over random items as the one in memory does."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples
from small_catalogue import fill, item, point, square, walk

from edges.catalogues.memory import MemoryCatalogue
from edges.catalogues.sqlite import SqliteCatalogue
from edges.model import Interval, Query, SortKey
from edges.stac.cql2 import check_filter

pytestmark = pytest.mark.seam

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
