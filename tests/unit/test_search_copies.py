"""Each scene once: over all pages and sites, the first of its copies stands, and no other."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from copies_scene import ABLE, Counted, Named, federation_of, filled, item, name_of, raw, walked
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.memory import MemoryCatalogue
from edges.errors import InvalidInput, SiteUnavailable
from edges.model import Batch, Capabilities, Dedup, Json, Members, Query, SortKey
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order
from edges.stac.request import search_from_get, search_from_post
from gateway.search.federation import Federation
from gateway.search.identity import identify
from gateway.search.merge import Row

STRONG = "1220" + "ab" * 32


def scene(style: int, tile: str, strip: int, produced: int) -> Json:
    """Return one Sentinel-2 tile as one provider tells it: two spell the name and the time in ways of their own."""
    name = f"S2A_MSIL2A_20240402T173901_N0510_R098_T{tile}_2024040{produced}T01235{produced}"
    began = f"20240402T17423{strip}"
    told = {
        "s2:product_uri": f"{name}.SAFE",
        "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2APS_20240403T012353_S{began}_N05.10",
        "eo:cloud_cover": produced + style / 10,
    }
    if style == 0:
        return item(f"{name}_{strip}", "pc", at="2024-04-02T17:39:01.024Z", told=told)
    if style == 1:
        return item(f"S2A_T{tile}_{began}_L2A_{produced}", "es", at=f"2024-04-02T17:5{strip}:57Z", told=told)
    del told["s2:datastrip_id"]
    return item(f"S2A_{tile}_{strip}{produced}", "old", at="2024-04-02T17:52:57Z", told=told)


SCENES = st.builds(scene, st.integers(0, 2), st.sampled_from(["13TDE", "13SDD"]), st.integers(1, 2), st.integers(3, 5))
OTHERS = st.builds(
    lambda number, at, checksum: item(f"i{number}", at=at, checksum=checksum),
    st.integers(0, 4),
    st.sampled_from([f"2024-04-01T00:{minute}:00Z" for minute in range(10, 14)]),
    st.sampled_from(["", "", STRONG, "1220" + "cd" * 32]),
)
SITES = st.lists(
    st.tuples(
        st.builds(Capabilities, filter=st.booleans(), sort=st.booleans(), ties=st.just(True)),
        st.integers(1, 7),
        st.lists(SCENES | OTHERS, max_size=8, unique_by=lambda each: (each["collection"], each["id"])),
    ),
    min_size=1,
    max_size=4,
)
ORDERS = st.sampled_from([(), (SortKey(field="datetime"),), (SortKey(field="eo:cloud_cover"),), (SortKey(field="id"),)])


def expected(union: list[tuple[str, Members]], query: Query) -> list[list[tuple[str, Named]]]:
    """Return the rows that stand, by their definition: the first of each class in the sorted union."""
    matches, key = compile_query(query), compile_key(total_order(query.sortby))
    rows = sorted(
        (Row(key=key(members), site=site, item=members) for site, members in union if matches(members)),
        key=lambda row: (row.key, row.site),
    )
    groups = [list(rows) for _, rows in itertools.groupby(rows, key=lambda row: row.key)]
    tokens = [[(row.site, set(identify(row.item, query.dedup).tokens)) for row in group] for group in groups]
    return [
        [(row.site, name_of(row.item)) for row in group]
        for index, group in enumerate(groups)
        if not any(copies(ours, theirs) for theirs in tokens[:index] for ours in [tokens[index]])
    ]


def copies(ours: Any, theirs: Any) -> bool:
    return any(
        any(token[0] not in ("item", "bytes") or site != other for token in mine & yours)
        for (site, mine), (other, yours) in itertools.product(ours, theirs)
    )


@examples(120)
@given(
    sites=SITES,
    level=st.sampled_from(["replica", "product", "observation"]),
    order=ORDERS,
    limit=st.integers(1, 6),
    filter_=st.sampled_from([None, {"op": "<", "args": [{"property": "eo:cloud_cover"}, 4]}]),
)
def test_a_walk_gives_the_first_of_each_class_of_the_sorted_union(
    sites: Any, level: Dedup, order: Any, limit: int, filter_: Any
) -> None:
    async def run() -> None:
        catalogues: dict[str, MemoryCatalogue] = {}
        union = []
        for number, (can, page, items) in enumerate(sites):
            catalogues[f"s{number}"] = await filled(Counted(can=can, page=page), items)
            union += [(f"s{number}", raw(each)) for each in items]
        query = Query(sortby=order, limit=limit, dedup=level, filter=filter_)
        found = await walked(await federation_of(catalogues), query)
        wanted = expected(union, query)
        assert [group[0][1] for group in found] == [group[0][1] for group in wanted]
        assert all(set(first) >= set(second) for first, second in zip(found, wanted, strict=True))

    asyncio.run(run())


@examples(60)
@given(sites=SITES, order=ORDERS, limit=st.integers(1, 6))
def test_without_deduplication_a_walk_gives_every_copy_once(sites: Any, order: Any, limit: int) -> None:
    async def run() -> None:
        catalogues: dict[str, MemoryCatalogue] = {}
        key, union = compile_key(total_order(order)), []
        for number, (can, page, items) in enumerate(sites):
            catalogues[f"s{number}"] = await filled(Counted(can=can, page=page), items)
            union += [(key(raw(each)), f"s{number}", name_of(raw(each))) for each in items]
        found = await walked(await federation_of(catalogues), Query(sortby=order, limit=limit, dedup="none"))
        assert found == [[(site, name)] for _, site, name in sorted(union)]

    asyncio.run(run())


async def test_counts_are_exact_or_a_lower_bound() -> None:
    both = [item(f"i{n}", at=f"2024-04-0{n}T00:00:00Z") for n in range(1, 6)]
    sites = {"s0": await filled(Counted(can=ABLE), both), "s1": await filled(Counted(can=ABLE), both[:3])}
    alone = {"s0": sites["s0"], "s1": await filled(Counted(can=ABLE), [item("x", "d", at="2024-04-01T00:00:00Z")])}
    shared, apart = await federation_of(sites), await federation_of(alone)
    found: dict[str, Any] = {}
    searches: list[tuple[str, Federation, Dedup]] = [
        ("shared", shared, "replica"),
        ("shared, each copy", shared, "none"),
        ("apart", apart, "replica"),
        ("scenes", apart, "observation"),
    ]
    for name, federation, level in searches:
        first = await federation.search(Query(limit=2, dedup=level), user="u")
        second = await federation.search(Query(limit=2, dedup=level), user="u", token=first.next)
        assert (first.matched, first.at_least) == (second.matched, second.at_least)
        found[name] = (first.matched, first.at_least)
    assert found == {"shared": (None, 5), "shared, each copy": (8, 8), "apart": (6, 6), "scenes": (None, 3)}


async def pages_and_requests(*catalogues: Counted, query: Query) -> tuple[list[Any], list[int]]:
    federation = await federation_of({f"s{number}": each for number, each in enumerate(catalogues)})
    await federation.search(query, user="u")  # the audits
    for each in catalogues:
        each.asked.clear()
    return await walked(federation, query), [len(each.asked) for each in catalogues]


async def asked_without_copies(catalogues: list[Any], query: Query) -> list[int]:
    """Return the requests of a walk that looks for no copies."""
    named = {f"s{number}": each for number, each in enumerate(catalogues)}
    federation = await federation_of(named, stages=())
    await federation.search(query, user="u")
    for each in catalogues:
        each.asked.clear()
    await walked(federation, query)
    return [len(each.asked) for each in catalogues]


async def test_sites_whose_copies_agree_are_asked_no_more_than_without_copies() -> None:
    items = [item(f"i{day}", at=f"2024-04-0{day}T00:00:00Z", checksum=STRONG[:-1] + str(day)) for day in range(1, 9)]
    sites = [await filled(Counted(can=ABLE), items) for _ in range(3)]
    found, requests = await pages_and_requests(*sites, query=Query(limit=4))  # type: ignore[arg-type]
    assert [len(group) for group in found] == [3] * 8
    assert requests == await asked_without_copies(sites, Query(limit=4))


async def test_sites_that_cannot_filter_are_audited_in_as_many_requests_as_they_may_be_asked() -> None:
    days = range(1, 29)
    items = [item(f"i{day}", at=f"2024-04-{day:02}T00:00:00Z", checksum=f"{STRONG[:-2]}{day:02}") for day in days]
    sites = [await filled(Counted(can=Capabilities(sort=True)), items) for _ in range(2)]
    found, requests = await pages_and_requests(*sites, query=Query(limit=28))  # type: ignore[arg-type]
    assert [len(group) for group in found] == [2] * 28
    assert requests == await asked_without_copies(sites, Query(limit=28))


async def test_a_collection_of_one_site_costs_nothing() -> None:
    sites = [await filled(Counted(can=ABLE), [item("i", f"c{n}", at="2024-04-01T00:00:00Z")]) for n in range(2)]
    _, requests = await pages_and_requests(*sites, query=Query(limit=5))  # type: ignore[arg-type]
    assert requests == [1, 1]


async def test_copies_that_an_audit_did_not_see_end_the_trust_for_good_and_the_page_is_made_again() -> None:
    agreed = [item(f"i{n}", at=f"2024-04-02T00:{n:02d}:00Z") for n in range(40)]
    one = await filled(Counted(can=ABLE), [*agreed, item("old", at="2020-01-01T00:00:01Z")])
    two = await filled(Counted(can=ABLE), [*agreed, item("old", at="2020-01-01T00:00:02Z")])
    found, _ = await pages_and_requests(one, two, query=Query(limit=100))  # type: ignore[arg-type]
    assert len(found) == 41
    assert found[-1] == [("s1", ("c", "old")), ("s0", ("c", "old"))]


async def test_a_site_that_cannot_be_asked_for_its_copies_leaves_the_page_partial() -> None:
    one = await filled(Counted(can=ABLE), [item("a", at="2024-04-01T00:00:00Z")])
    two = Counted(can=ABLE)
    await filled(two, [item("a", at="2024-04-02T00:00:00Z"), item("b", at="2024-04-03T00:00:00Z")])
    federation = await federation_of({"s0": one, "s1": two})
    first = await federation.search(Query(limit=1), user="u")

    async def only_searches(query: Query, *, limit: int, after: str | None = None) -> Batch:
        if query.ids is not None:
            raise SiteUnavailable("s1", "too many ids")
        return await Counted.search(two, query, limit=limit, after=after)

    two.search = only_searches  # type: ignore[method-assign]
    page = await federation.search(Query(limit=5), user="u", token=first.next)
    assert page.missing == ["s1"]
    assert "too many ids" in next(report.reason for report in page.reports if report.site == "s1")
    assert [name_of(group[0].item)[1] for group in page.groups] == ["a"]


async def test_a_site_that_floods_a_probe_is_left_without_harm() -> None:
    flood = [item(f"x{n}", "es", at="2024-04-02T17:52:57Z") for n in range(60)]
    one = await filled(Counted(can=ABLE), [scene(0, "13TDE", 1, 3)])
    two = await filled(Counted(can=ABLE, page=10), flood)
    federation = await federation_of({"s0": one, "s1": two}, most=20)
    page = await federation.search(Query(limit=100, dedup="observation"), user="u")
    assert page.missing == ["s1"]
    assert len(page.groups) == 61
    assert {report.site: report.status for report in page.reports} == {"s0": "answered", "s1": "answered"}


@pytest.mark.parametrize("level", ["product", "observation"])
async def test_the_copies_on_other_pages_are_told_too(level: Dedup) -> None:
    same = scene(0, "13TDE", 1, 3), scene(1, "13TDE", 1, 3)
    sites = {f"s{n}": await filled(Counted(can=ABLE), [each]) for n, each in enumerate(same)}
    found = await walked(await federation_of(sites), Query(limit=1, dedup=level))
    assert [[site for site, _ in group] for group in found] == [["s1", "s0"]]


async def test_a_cursor_is_bound_to_the_rung_that_it_was_given_for() -> None:
    federation = await federation_of({"s": await filled(Counted(can=ABLE), [item(f"i{n}") for n in range(3)])})
    page = await federation.search(Query(limit=1), user="u")
    with pytest.raises(InvalidInput, match="another search"):
        await federation.search(Query(limit=1, dedup="product"), user="u", token=page.next)


@pytest.mark.parametrize("rung", ["none", "replica", "product", "observation"])
def test_the_rung_is_taken_by_get_and_post_alike(rung: str) -> None:
    limits: Any = {"default_limit": 1, "max_limit": 1, "default_dedup": "product"}
    by_get = search_from_get({"dedup": rung}, **limits)
    assert by_get.query.dedup == search_from_post(json.dumps({"dedup": rung}).encode(), **limits).query.dedup == rung
    for parsed in (search_from_get({"dedup": ""}, **limits), search_from_post(b'{"dedup": null}', **limits)):
        assert parsed.query.dedup == "product"
    with pytest.raises(InvalidInput, match="dedup: 'Replica'; expected one of none, replica, product, observation"):
        search_from_get({"dedup": "Replica"}, **limits)


async def test_requests_for_copies_are_counted_and_told_apart() -> None:
    ours = [item(f"i{n}", at=f"2024-04-0{n}T00:00:00Z") for n in range(1, 5)]
    theirs = [item(f"i{n}", at=f"2024-04-0{n}T00:15:00Z") for n in range(1, 5)]
    federation = await federation_of(
        {"s0": await filled(Counted(can=ABLE), ours), "s1": await filled(Counted(can=ABLE), theirs)}
    )
    page = await federation.search(Query(limit=2), user="u")
    probes = {report.site: report.probes for report in page.reports}
    assert sum(probes.values()) >= 1
    assert all(report.requests > report.probes for report in page.reports)
