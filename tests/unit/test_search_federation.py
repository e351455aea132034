"""The federated search over in-memory sites: a walk over all pages is the sorted union, whatever the sites are like."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.memory import MemoryCatalogue
from edges.errors import InvalidInput, SiteUnavailable
from edges.model import Batch, Capabilities, Members, Query, SortKey
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order
from gateway.search.cursor import Cursors
from gateway.search.federation import AllSitesFailed, Federation, PartialRefused

NOW = 1_790_000_000.0


class Quirky(MemoryCatalogue):
    """A memory catalogue that can do less, or is wrong."""

    def __init__(self, *, can: Capabilities, page: int = 100, wrong: str = "") -> None:
        super().__init__()
        self.can = can
        self.page = page
        self.wrong = wrong
        self.calls = 0

    async def capabilities(self) -> Capabilities:
        return self.can

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        self.calls += 1
        if self.wrong == "down":
            raise SiteUnavailable("x", "refused")
        if self.wrong == "hangs":
            await asyncio.Event().wait()
        if not self.can.filter:
            query = msgspec.structs.replace(query, filter=None)
        if self.wrong == "ignores filter":
            query = msgspec.structs.replace(query, filter=None)
        if not self.can.sort:
            query = msgspec.structs.replace(query, sortby=(SortKey(field="id"),))
        if self.wrong == "ignores sort":
            query = msgspec.structs.replace(query, sortby=(SortKey(field="id"),))
        if self.wrong == "ties by id descending":
            query = msgspec.structs.replace(query, sortby=(*query.sortby[:1], SortKey(field="id", descending=True)))
        return await super().search(query, limit=min(limit, self.page), after=after)


def item(collection: str, item_id: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": collection, "geometry": None,
        "properties": {"datetime": None, **properties}, "assets": {}, "links": [],
    }  # fmt: skip


ITEMS = st.builds(
    lambda collection, number, moment, cloud: item(
        collection,
        f"i{number}",
        datetime=moment,
        start_datetime="2020-01-01T00:00:00Z",
        end_datetime="2020-12-31T00:00:00Z",
        **({} if cloud is None else {"eo:cloud_cover": cloud}),
    ),
    st.sampled_from(["a", "b"]),
    st.integers(0, 40),
    st.sampled_from(
        [
            None,
            "2020-01-01T00:00:00Z",
            "2020-02-01T00:00:00.5Z",
            "2020-02-01T00:00:00Z",
            "2020-03-01T12:00:00+02:00",
        ]
    ),
    st.sampled_from([None, 0, 5, 5.5, 50]),
)
ABILITIES = st.builds(Capabilities, filter=st.booleans(), sort=st.booleans(), ties=st.booleans())
WRONGS = st.sampled_from(["", "", "ignores filter", "ignores sort", "ties by id descending"])
SITES = st.lists(
    st.tuples(ABILITIES, st.integers(1, 7), WRONGS, st.lists(st.integers(0, 11), max_size=12)),
    min_size=1,
    max_size=4,
)
ORDERS = st.sampled_from(
    [
        (),
        (SortKey(field="datetime"),),
        (SortKey(field="eo:cloud_cover"), SortKey(field="datetime", descending=True)),
        (SortKey(field="properties.eo:cloud_cover", descending=True),),
        (SortKey(field="id", descending=True),),
        (SortKey(field="collection"), SortKey(field="id")),
    ]
)
FILTERS = st.sampled_from(
    [
        None,
        {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]},
        {"op": "=", "args": [{"property": "collection"}, "a"]},
    ]
)


async def federation_of(catalogues: dict[str, MemoryCatalogue], *, deadline: float = 5.0) -> Federation:
    return federation_over(await registry_of(catalogues), deadline=deadline)


async def registry_of(catalogues: dict[str, MemoryCatalogue]) -> Registry:
    sites = [
        Site(
            SiteSettings(id=name, kind="hub", catalogue=CatalogueSettings(url="http://x.example", max_page=50)),
            catalogue,
        )
        for name, catalogue in catalogues.items()
    ]
    registry = Registry(sites, probe_seconds=60, clock=lambda: NOW)
    await registry.probe()
    return registry


def federation_over(registry: Registry, *, deadline: float = 5.0) -> Federation:
    cursors = Cursors(key=b"k" * 32, lifetime_seconds=60)
    return Federation(registry=registry, cursors=cursors, deadline_seconds=deadline, clock=lambda: NOW)


async def filled(catalogue: MemoryCatalogue, items: list[dict[str, Any]]) -> MemoryCatalogue:
    for name in sorted({each["collection"] for each in items}):
        await catalogue.put_collection({"id": name, "type": "Collection"})
        await catalogue.put_items(name, [each for each in items if each["collection"] == name])
    return catalogue


async def walked(federation: Federation, query: Query) -> list[str]:
    names, token = [], None
    while True:
        page = await federation.search(query, user="u", token=token)
        assert len(page.groups) <= query.limit
        assert page.groups or page.next is None, "an empty page with a next link"
        names += [decoded(group[0].item) for group in page.groups]
        assert page.next is None or len(page.next) <= 400
        token = page.next
        if token is None:
            return names


def decoded(members: Members) -> str:
    return f"{msgspec.json.decode(members['collection'])}/{msgspec.json.decode(members['id'])}"


def raw(document: dict[str, Any]) -> Members:
    return msgspec.json.decode(json.dumps(document).encode(), type=Members)


@examples(200)
@given(
    pool=st.lists(ITEMS, min_size=12, max_size=12, unique_by=lambda i: (i["collection"], i["id"])),
    sites=SITES,
    order=ORDERS,
    filter_=FILTERS,
    limit=st.integers(1, 9),
)
def test_a_walk_is_the_sorted_union_each_item_once(pool: Any, sites: Any, order: Any, filter_: Any, limit: int) -> None:
    async def run() -> None:
        catalogues: dict[str, MemoryCatalogue] = {}
        union: dict[str, Members] = {}
        for number, (can, page, wrong, held) in enumerate(sites):
            items = [pool[index] for index in sorted(set(held))]
            catalogues[f"s{number}"] = await filled(Quirky(can=can, page=page, wrong=wrong), items)
            union |= {f"{each['collection']}/{each['id']}": raw(each) for each in items}
        query = Query(sortby=order, filter=filter_, limit=limit)
        matches, key = compile_query(query), compile_key(total_order(order))
        expected = [name for name, members in sorted(union.items(), key=lambda pair: key(pair[1])) if matches(members)]
        registry = await registry_of(catalogues)
        federation = federation_over(registry)
        if any(wrong == "ignores sort" for _, _, wrong, _ in sites):
            # What a lie hides on the pages before it is caught cannot be given any more; on one page nothing is lost.
            found = await walked(federation, query)
            assert found == [name for name in expected if name in found]
            query = msgspec.structs.replace(query, limit=len(union) + 1)
        assert await walked(federation, query) == expected
        honest = {f"s{number}" for number, (_, _, wrong, _) in enumerate(sites) if not wrong}
        assert not [site.id for site in registry.sites() if site.ignored and site.id in honest]

    asyncio.run(run())


@pytest.mark.parametrize("cloud", [None, 7.0])
async def test_a_site_is_not_taken_to_ignore_a_filter_that_says_the_first_of_two_keys_only(cloud: float | None) -> None:
    items = [
        item("a", f"x{n}", datetime=f"2020-01-{n:02d}T00:00:00Z", **{"eo:cloud_cover": cloud}) for n in range(1, 31)
    ]
    items.append(item("a", "y", datetime="some day", **{"eo:cloud_cover": cloud}))  # so that times do not compare there
    order = (SortKey(field="eo:cloud_cover"), SortKey(field="datetime", descending=True))
    registry = await registry_of({"s": await filled(MemoryCatalogue(), items)})
    found = await walked(federation_over(registry), Query(sortby=order, limit=10))
    key = compile_key(total_order(order))
    assert found == [decoded(each) for each in sorted(map(raw, items), key=key)]
    assert registry.sites()[0].ignored == frozenset()


async def test_copies_stand_together_as_one_item() -> None:
    one = item("a", "x", datetime="2020-01-01T00:00:00Z")
    catalogues = {name: await filled(MemoryCatalogue(), [one]) for name in ("s0", "s1")}
    page = await (await federation_of(catalogues)).search(Query(), user="u")
    assert [[row.site for row in group] for group in page.groups] == [["s0", "s1"]]


async def test_a_site_that_is_down_costs_only_its_own_part() -> None:
    up = await filled(MemoryCatalogue(), [item("a", "x", datetime="2020-01-01T00:00:00Z")])
    down = Quirky(can=Capabilities(), wrong="down")
    page = await (await federation_of({"up": up, "down": down})).search(Query(), user="u")
    assert [decoded(group[0].item) for group in page.groups] == ["a/x"]
    assert page.missing == ["down"]


async def test_a_site_that_hangs_costs_no_more_than_the_deadline() -> None:
    up = await filled(MemoryCatalogue(), [item("a", "x", datetime="2020-01-01T00:00:00Z")])
    hanging = Quirky(can=Capabilities(), wrong="hangs")
    federation = await federation_of({"up": up, "hanging": hanging}, deadline=0.05)
    page = await federation.search(Query(), user="u")
    assert page.missing == ["hanging"]
    assert "deadline" in next(report.reason for report in page.reports if report.site == "hanging")


async def test_strict_refuses_a_partial_answer() -> None:
    up = await filled(MemoryCatalogue(), [item("a", "x", datetime="2020-01-01T00:00:00Z")])
    federation = await federation_of({"up": up, "down": Quirky(can=Capabilities(), wrong="down")})
    with pytest.raises(PartialRefused, match="refused"):
        await federation.search(Query(), user="u", strict=True)


async def test_all_sites_failed_is_an_error_not_an_empty_page() -> None:
    federation = await federation_of({"down": Quirky(can=Capabilities(), wrong="down")})
    with pytest.raises(AllSitesFailed):
        await federation.search(Query(), user="u")


async def test_a_cursor_of_another_user_or_query_is_refused() -> None:
    items = [item("a", f"x{n}", datetime=f"2020-01-0{n}T00:00:00Z") for n in range(1, 5)]
    federation = await federation_of({"s": await filled(MemoryCatalogue(), items)})
    page = await federation.search(Query(limit=2), user="alice")
    assert page.next is not None
    for user, query in (("bob", Query(limit=2)), ("alice", Query(limit=2, ids=("x1",)))):
        with pytest.raises(InvalidInput, match="another search or user"):
            await federation.search(query, user=user, token=page.next)
    with pytest.raises(InvalidInput, match="not issued here"):
        await federation.search(
            Query(limit=2),
            user="alice",
            token="A" + page.next[1:] if page.next[0] != "A" else "B" + page.next[1:],
        )


async def test_the_count_is_told_only_where_it_is_exact() -> None:
    a = await filled(MemoryCatalogue(), [item("a", "x", datetime="2020-01-01T00:00:00Z")])
    b = await filled(MemoryCatalogue(), [item("b", "y", datetime="2020-01-01T00:00:00Z")])
    shared = await filled(MemoryCatalogue(), [item("a", "z", datetime="2020-01-01T00:00:00Z")])
    exact = await (await federation_of({"s0": a, "s1": b})).search(Query(), user="u")
    unsure = await (await federation_of({"s0": a, "s1": shared})).search(Query(), user="u")
    assert (exact.matched, unsure.matched) == (2, None)


async def test_a_site_is_left_out_after_failures_in_a_row_and_said_to_be_missing() -> None:
    up = await filled(MemoryCatalogue(), [item("a", "x", datetime="2020-01-01T00:00:00Z")])
    down = Quirky(can=Capabilities(), wrong="down")
    federation = await federation_of({"up": up, "down": down})
    for _ in range(5):
        page = await federation.search(Query(), user="u")
    assert down.calls == 3
    assert page.missing == ["down"]
