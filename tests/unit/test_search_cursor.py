"""The page cursor: small whatever it holds, bound to its search, readable after a change of keys."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.catalogues.memory import MemoryCatalogue
from edges.errors import InvalidInput
from edges.model import Query, SortKey
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from gateway.search.cursor import Anchor, Cursors
from gateway.search.federation import Federation

NOW = 1_790_000_000.0
ORDER = (SortKey(field="title", descending=True), SortKey(field="gsd"))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.text(max_size=2_000),
    st.lists(st.text(max_size=300), max_size=3),
)  # fmt: skip


@examples(150)
@given(values=st.tuples(VALUES, VALUES, st.text(max_size=300), st.text(max_size=1_024)))
def test_a_cursor_is_at_most_400_characters_and_holds_all_or_tells_that_it_does_not(values: Any) -> None:
    cursors, query = Cursors(key=b"k", lifetime_seconds=60), Query(sortby=ORDER)
    token = cursors.write(Anchor(values=values), query, "u", now=NOW)
    anchor = cursors.read(token, query, "u", now=NOW)
    assert len(token) <= 400
    assert anchor.proof or anchor.values == values
    assert anchor.values == values[: len(anchor.values)]
    if anchor.beginning is not None:
        assert values[len(anchor.values)].startswith(anchor.beginning)


def test_a_cursor_outlives_a_change_of_the_key_as_long_as_the_old_one_is_known() -> None:
    query, anchor = Query(), Anchor(values=("2020-01-01T00:00:00Z", "c", "i"))
    token = Cursors(key=b"old", lifetime_seconds=60).write(anchor, query, "u", now=NOW)
    assert Cursors(key=b"new", former=[b"old"], lifetime_seconds=60).read(token, query, "u", now=NOW) == anchor
    with pytest.raises(InvalidInput, match="not issued here"):
        Cursors(key=b"new", lifetime_seconds=60).read(token, query, "u", now=NOW)


def item(number: int, collection: str = "a", *, length: int = 1_000) -> dict[str, Any]:
    properties = {"datetime": None, "title": f"{'x' * length}{number % 7}", "gsd": number % 3}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"{'i' * (length // 2)}{number:03}", "collection": collection,
        "geometry": None, "properties": properties, "assets": {}, "links": [],
    }  # fmt: skip


async def site_of(name: str, items: list[dict[str, Any]]) -> Site:
    catalogue = MemoryCatalogue()
    for collection in ("a", "b"):
        await catalogue.put_collection({"id": collection, "type": "Collection"})
    for one in items:
        await catalogue.put_items(one["collection"], [one])
    settings = SiteSettings(id=name, kind="hub", catalogue=CatalogueSettings(url="http://x.example"))
    return Site(settings, catalogue)


async def federation_of(*sites: Site) -> Federation:
    registry = Registry(sites, probe_seconds=60, clock=lambda: NOW)
    await registry.probe()
    cursors = Cursors(key=b"k" * 32, lifetime_seconds=60)
    return Federation(registry=registry, cursors=cursors, deadline_seconds=5, clock=lambda: NOW)


async def walked(federation: Federation, query: Query) -> list[bytes]:
    names: list[bytes] = []
    token = None
    while True:
        page = await federation.search(query, user="u", token=token)
        names += [bytes(group[0].item["id"]) for group in page.groups]
        token = page.next
        if token is None:
            return names
        assert len(token) <= 400


@pytest.mark.parametrize("sortby", [ORDER, (SortKey(field="title"),), (SortKey(field="gsd"),), (SortKey(field="id"),)])
async def test_a_walk_by_long_texts_and_ids_loses_nothing(sortby: tuple[SortKey, ...]) -> None:
    sites = [await site_of(f"s{n}", [item(number, "ab"[n]) for number in range(n, 24, 2)]) for n in range(2)]
    federation = await federation_of(*sites)
    whole = await walked(federation, Query(sortby=sortby, limit=100))
    assert len(whole) == 24
    assert await walked(federation, Query(sortby=sortby, limit=5)) == whole


async def test_a_cursor_whose_item_is_gone_and_was_too_long_to_hold_says_so() -> None:
    site = await site_of("s", [item(number) for number in range(10)])
    federation = await federation_of(site)
    page = await federation.search(Query(sortby=ORDER, limit=5), user="u")
    for number in range(10):
        await site.catalogue.delete_item("a", item(number)["id"])
    with pytest.raises(InvalidInput, match="is no more"):
        await federation.search(Query(sortby=ORDER, limit=5), user="u", token=page.next)


async def test_a_walk_goes_on_where_a_site_joins_or_leaves() -> None:
    one = await site_of("one", [item(number, "a", length=4) for number in range(0, 20, 2)])
    two = await site_of("two", [item(number, "b", length=4) for number in range(1, 20, 2)])
    query = Query(sortby=(SortKey(field="id"),), limit=6)
    both, alone = await federation_of(one, two), await federation_of(one)
    first = await both.search(query, user="u")
    left = await alone.search(query, user="u", token=first.next)
    joined = await both.search(query, user="u", token=left.next)
    numbers = [[int(bytes(group[0].item["id"])[-4:-1]) for group in page.groups] for page in (first, left, joined)]
    assert numbers == [[0, 1, 2, 3, 4, 5], [6, 8, 10, 12, 14, 16], [17, 18, 19]]
