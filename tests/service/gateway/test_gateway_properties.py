"""Properties of the federated search over sockets: whatever the sites are like, a walk is the sorted union."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from federated_lake import Client, gateway_over, hub
from hypothesis import given
from hypothesis import strategies as st
from quirky_sites import DIALECTS, LIES, Habits, QuirkySite, quirky_sites
from random_examples import examples

from edges.catalogues.stac_api import StacApiCatalogue
from edges.http import Outbound
from edges.model import Interval, Json, Members, Query, SortKey
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order
from edges.stac.request import query_to_post
from gateway.search.cursor import Cursors
from gateway.search.federation import AllSitesFailed, Federation

pytestmark = pytest.mark.service

Name = tuple[str, str]
SITES = 3
_MOMENTS = [None, "2020-01-01T00:00:00Z", "2020-02-01", "2020-02-01T00:00:00.5Z", "2020-03-01T12:00:00+02:00"]
_MIXED = [None, 1, 2.5, -3, True, False, "1", "one", "Zwei", ["x"], {"y": 1}]


@pytest.fixture(scope="session")
def sites() -> Iterator[list[QuirkySite]]:
    with quirky_sites(SITES) as running:
        yield running


def item(collection: str, number: int, moment: str | None, mixed: Any, east: int) -> Json:
    own = {} if mixed is None else {"mixed": mixed}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i{number}", "collection": collection,
        "geometry": {"type": "Point", "coordinates": [east, 1]}, "bbox": [east, 1, east, 1],
        "properties": {
            "datetime": moment, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-03-02T00:00:00Z", **own,
        },
        "assets": {}, "links": [],
    }  # fmt: skip


ITEMS = st.lists(
    st.builds(
        item,
        st.sampled_from("ab"),
        st.integers(0, 30),
        st.sampled_from(_MOMENTS),
        st.sampled_from(_MIXED),
        st.integers(0, 3),
    ),
    min_size=14,
    max_size=14,
    unique_by=lambda one: (one["collection"], one["id"]),
)
HABITS = st.builds(
    Habits,
    dialect=st.sampled_from(DIALECTS),
    page=st.integers(1, 6),
    lie=st.sampled_from(["", "", "", *(lie for lie in LIES if lie != "order")]),
    filters=st.sampled_from([True, True, False]),
    sorts=st.sampled_from([True, True, False]),
)
WORLDS = st.lists(
    st.tuples(HABITS, st.lists(st.integers(0, 13), max_size=14, unique=True)), min_size=SITES, max_size=SITES
)
ORDERS = st.sampled_from(
    [
        (),
        (SortKey(field="datetime"),),
        (SortKey(field="mixed"),),
        (SortKey(field="mixed", descending=True), SortKey(field="datetime")),
        (SortKey(field="datetime", descending=True), SortKey(field="mixed")),
        (SortKey(field="id", descending=True),),
        (SortKey(field="missing"),),
    ]
)
QUERIES = st.builds(
    Query,
    limit=st.integers(1, 7),
    sortby=ORDERS,
    collections=st.sampled_from([None, None, ("a",), ("a", "b", "nowhere")]),
    ids=st.sampled_from([None, None, ("i1", "i2", "i3", "i5", "i8", "i13")]),
    bbox=st.sampled_from([None, None, (-1.0, 0.0, 1.0, 2.0)]),
    datetime=st.sampled_from([None, None, Interval(start=1_580_515_200_000_000)]),
    filter=st.sampled_from(
        [
            None,
            None,
            {"op": ">", "args": [{"property": "mixed"}, 1]},
            {"op": "not", "args": [{"op": "isNull", "args": [{"property": "mixed"}]}]},
        ]
    ),
)


def raw(document: Json) -> Members:
    return msgspec.json.decode(msgspec.json.encode(document), type=Members)


def name_of(members: Members) -> Name:
    return msgspec.json.decode(members["collection"]), msgspec.json.decode(members["id"])


def expected(items: list[Json], query: Query) -> list[Name]:
    matches, key = compile_query(query), compile_key(total_order(query.sortby))
    union = {name_of(members): members for members in map(raw, items)}
    return [name_of(members) for members in sorted((one for one in union.values() if matches(one)), key=key)]


async def federation_over(sites: list[QuirkySite], stack: AsyncExitStack) -> tuple[Federation, Registry]:
    return await federation_of([site.url for site in sites], stack)


async def federation_of(urls: list[str], stack: AsyncExitStack) -> tuple[Federation, Registry]:
    outbound = await stack.enter_async_context(Outbound(allowed=urls))
    found = []
    for number, url in enumerate(urls):
        catalogue = CatalogueSettings(url=url, max_page=50)
        api = StacApiCatalogue(
            site=f"s{number}", settings=catalogue, session=outbound.session, lines=outbound.site_lines
        )
        found.append(Site(SiteSettings(id=f"s{number}", kind="hub", catalogue=catalogue), api))
    registry = Registry(found, probe_seconds=60)
    await registry.probe()
    cursors = Cursors(key=b"k" * 32, lifetime_seconds=60)
    return Federation(registry=registry, cursors=cursors, deadline_seconds=20), registry


async def walked(federation: Federation, query: Query, *, patience: int = 0) -> list[Name]:
    """Walk over all pages; a page that lacks a site is asked for again, ``patience`` times in all."""
    names: list[Name] = []
    token = None
    while True:
        try:
            page = await federation.search(query, user="u", token=token, strict=True)
        except AllSitesFailed:
            patience -= 1
            if patience < 0:
                raise
            continue
        assert len(page.groups) <= query.limit
        assert page.groups or page.next is None, "an empty page with a next link"
        assert page.next is None or len(page.next) <= 400
        names += [name_of(group[0].item) for group in page.groups]
        token = page.next
        if token is None:
            return names


def settle(sites: list[QuirkySite], world: Any, pool: list[Json]) -> list[Json]:
    held = []
    for site, (habits, numbers) in zip(sites, world, strict=True):
        own = [pool[number] for number in numbers]
        site.become(habits, own)
        held += own
    return held


@examples(12, slow=True)
@given(pool=ITEMS, world=WORLDS, query=QUERIES)
def test_a_walk_is_the_sorted_filtered_union_whatever_the_sites_do(
    sites: list[QuirkySite], pool: list[Json], world: Any, query: Query
) -> None:
    held = settle(sites, world, pool)

    async def run() -> list[Name]:
        async with AsyncExitStack() as stack:
            federation, _ = await federation_over(sites, stack)
            return await walked(federation, query)

    assert asyncio.run(run()) == expected(held, query)


@examples(15, slow=True)
@given(pool=ITEMS, world=WORLDS, query=QUERIES, fails=st.integers(4, 9))
def test_sites_that_fail_now_and_then_lose_nothing_to_those_who_insist(
    sites: list[QuirkySite], pool: list[Json], world: Any, query: Query, fails: int
) -> None:
    held = settle(sites, world, pool)

    async def run() -> list[Name]:
        async with AsyncExitStack() as stack:
            federation, registry = await federation_over(sites, stack)
            for site in sites:  # a page that needs more requests than that can never be had whole
                site.habits.fails = fails + 40
                site.searches = 35
            found = await walked(federation, query, patience=30)
            del registry
            return found

    assert asyncio.run(run()) == expected(held, query)


@examples(15, slow=True)
@given(pool=ITEMS, world=WORLDS, query=QUERIES, new=st.lists(st.integers(0, 13), max_size=4, unique=True))
def test_what_grows_meanwhile_neither_repeats_nor_hides_what_was_there(
    sites: list[QuirkySite], pool: list[Json], world: Any, query: Query, new: list[int]
) -> None:
    held = settle(sites, world, pool)
    later = [pool[number] for number in new if pool[number] not in held]
    sites[0].habits.grows = list(later)

    async def run() -> list[Name]:
        async with AsyncExitStack() as stack:
            federation, _ = await federation_over(sites, stack)
            return await walked(federation, query)

    found = asyncio.run(run())
    before, after = expected(held, query), expected(held + later, query)
    assert len(found) == len(set(found))
    assert [name for name in found if name in before] == before
    assert found == [name for name in after if name in found]


def test_a_first_page_that_is_empty_hides_no_kind_of_values(sites: list[QuirkySite]) -> None:
    items = [item("a", number, None, mixed, 0) for number, mixed in enumerate([-3, None, True, None, None])]
    settle(sites, [(Habits(), ()), (Habits(), ()), (Habits(lie="empty pages", page=1), range(5))], items)
    query = Query(limit=1, sortby=(SortKey(field="mixed"),))

    async def run() -> list[Name]:
        async with AsyncExitStack() as stack:
            federation, _ = await federation_over(sites, stack)
            return await walked(federation, query)

    assert asyncio.run(run()) == expected(items, query)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_of_paging_is_followed(sites: list[QuirkySite], dialect: str) -> None:
    items = [item("a", number, f"2020-01-{number + 1:02}T00:00:00Z", number, 0) for number in range(20)]
    world = [(Habits(dialect=dialect, page=3), range(20)), (Habits(), ()), (Habits(), ())]
    settle(sites, world, items)

    async def run() -> list[Name]:
        async with AsyncExitStack() as stack:
            federation, _ = await federation_over(sites, stack)
            return await walked(federation, Query(limit=20))

    assert asyncio.run(run()) == [("a", f"i{number}") for number in reversed(range(20))]


@pytest.mark.parametrize(
    ("lie", "query"),
    [
        ("filter", Query(filter={"op": ">", "args": [{"property": "mixed"}, 15]})),
        ("bbox", Query(bbox=(0.5, 0, 3, 2))),
        ("datetime", Query(datetime=Interval(start=1_590_000_000_000_000))),
        ("ids", Query(ids=("i1",))),
    ],
)
def test_a_site_that_ignores_what_it_was_asked_is_told_of_and_relied_on_no_more(
    sites: list[QuirkySite], lie: str, query: Query
) -> None:
    items = [item("a", number, f"2020-01-{number + 1:02}T00:00:00Z", number, 0) for number in range(20)]
    for one in items:
        one["properties"] |= {"end_datetime": one["properties"]["datetime"]}
    settle(sites, [(Habits(lie=lie), range(20)), (Habits(), ()), (Habits(), ())], items)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            federation, registry = await federation_over(sites, stack)
            for _ in range(2):
                assert await walked(federation, query) == expected(items, query)
            site = registry.get("s0")
            assert site is not None
            assert lie in site.ignored
            assert [quirk.kind for quirk in site.quirk_report] == [lie]
            assert site.capabilities.filter is (lie != "filter")
            page = await federation.search(query, user="u")
            assert (page.matched, page.reports[0].filter) == (None, "residual")

    asyncio.run(run())


def test_an_item_of_an_unknown_collection_makes_the_site_tell_of_its_collections(sites: list[QuirkySite]) -> None:
    items = [item("a", 1, "2020-01-01T00:00:00Z", 1, 0), item("new", 2, "2020-01-02T00:00:00Z", 2, 0)]
    settle(sites, [(Habits(), (0,)), (Habits(), ()), (Habits(), ())], items)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            federation, _ = await federation_over(sites, stack)
            assert await walked(federation, Query()) == [("a", "i1")]
            await sites[0].catalogue.put_collection({"type": "Collection", "id": "new", "links": []})
            await sites[0].catalogue.put_items("new", [items[1]])
            assert await walked(federation, Query()) == [("new", "i2"), ("a", "i1")]

    asyncio.run(run())


SEARCHES: list[tuple[Query, dict[str, str]]] = [
    (Query(limit=3), {"limit": "3"}),
    (
        Query(limit=4, sortby=(SortKey(field="mixed", descending=True), SortKey(field="datetime"))),
        {"limit": "4", "sortby": "-mixed,+datetime"},
    ),
    (Query(limit=2, collections=("a",), bbox=(-1, 0, 1, 2)), {"limit": "2", "collections": "a", "bbox": "-1,0,1,2"}),
    (
        Query(limit=3, filter={"op": ">", "args": [{"property": "mixed"}, 1]}, ids=("i1", "i2", "i3", "i4", "i5")),
        {"limit": "3", "filter": "mixed > 1", "ids": "i1,i2,i3,i4,i5"},
    ),
    (
        Query(limit=5, datetime=Interval(start=1_580_515_200_000_000), sortby=(SortKey(field="id"),)),
        {"limit": "5", "datetime": "2020-02-01T00:00:00Z/..", "sortby": "id"},
    ),
]


async def followed(client: Client, method: str, parameters: dict[str, str], query: Query) -> list[Name]:
    """Walk along a gateway's next links, by GET or by POST."""
    names: list[Name] = []
    sent: dict[str, Any] = {"params": parameters} if method == "GET" else {"json": query_to_post(query)}
    url = f"{client.url}/search"
    while True:
        async with client.session.request(method, url, **sent) as response:
            page = msgspec.json.decode(await response.read())
            assert response.status == 200, page
        names += [(one["collection"], one["id"]) for one in page["features"]]
        link = next((link for link in page["links"] if link["rel"] == "next"), None)
        if link is None:
            return names
        assert link["method"] == method
        url, sent = link["href"], {"json": link["body"]} if method == "POST" else {}


async def test_post_is_get_and_a_gateway_over_the_gateway_is_the_same(sites: list[QuirkySite], tmp_path: Path) -> None:
    pool = [
        item("ab"[number % 2], number, _MOMENTS[number % 5], _MIXED[number % len(_MIXED)], number % 4)
        for number in range(14)
    ]
    world = [
        (Habits(dialect="cursor", page=3, lie="bbox"), range(0, 14, 2)),
        (Habits(dialect="offset", page=2, sorts=False), range(0, 14, 3)),
        (Habits(dialect="header", page=5, filters=False, lie="duplicates"), range(1, 14, 2)),
    ]
    held = await asyncio.to_thread(settle, sites, world, pool)
    hubs = [hub(f"s{number}", site.url) for number, site in enumerate(sites)]
    async with gateway_over(hubs, tmp_path / "state") as client, AsyncExitStack() as stack:
        above, _ = await federation_of([client.url], stack)
        for query, parameters in SEARCHES:
            wanted = expected(held, query)
            assert await followed(client, "POST", parameters, query) == wanted
            assert await followed(client, "GET", parameters, query) == wanted
            assert await walked(above, query) == wanted
