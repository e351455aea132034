"""Free text over several sites: the answer is the same whether a site evaluates it or we do."""

import itertools
from typing import Any

import msgspec
import pytest

from edges.catalogues.memory import MemoryCatalogue
from edges.model import Batch, Capabilities, Json, Query
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from edges.stac.free_text import texts_of_collections
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.search.free_text import text_scope

COLLECTIONS: dict[str, list[Json]] = {
    "s0": [{"id": "ice", "title": "Sea ice", "keywords": ["polar", "radar"]}, {"id": "land", "title": "Land cover"}],
    "s1": [{"id": "ice", "title": "Ice charts"}, {"id": "sst", "description": "Temperature of the sea surface"}],
}
QUERIES = [
    "ice", "sea", "radar", "polar AND charts", "sea NOT ice", "-sea", "+sea surface", "x1", "special", "land OR sst",
    '"sea ice"', "nothing", "temperature, cover", "keyed", "NOT (ice OR land)", "ice -special",
]  # fmt: skip


class Unable(MemoryCatalogue):
    """A catalogue that knows nothing of free text."""

    async def capabilities(self) -> Capabilities:
        return msgspec.structs.replace(await super().capabilities(), text=False)

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        assert query.text is None
        return await super().search(query, limit=limit, after=after)


def item(collection: str, number: int) -> Json:
    extra: list[Json] = [{}, {"title": "Something special"}, {"keywords": ["keyed", "up"]}]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"x{number}", "collection": collection, "geometry": None,
        "properties": {"datetime": f"2024-01-{number + 1:02}T00:00:00Z", **extra[number % 3]},
        "assets": {}, "links": [],
    }  # fmt: skip


async def federation_of(kinds: tuple[type[MemoryCatalogue], ...]) -> Federation:
    sites = []
    for (name, collections), kind in zip(COLLECTIONS.items(), kinds, strict=True):
        catalogue = kind()
        for each in collections:
            await catalogue.put_collection(each)
            await catalogue.put_items(each["id"], [item(each["id"], number) for number in range(6)])
        sites.append(
            Site(SiteSettings(id=name, kind="hub", catalogue=CatalogueSettings(url="http://x.example")), catalogue)
        )
    registry = Registry(sites, probe_seconds=60)
    await registry.probe()
    return Federation(registry=registry, cursors=Cursors(key=b"k" * 32, lifetime_seconds=60), deadline_seconds=5.0)


async def walked(federation: Federation, query: Query) -> list[tuple[str, str]]:
    return [
        (msgspec.json.decode(group[0].item["collection"]), msgspec.json.decode(group[0].item["id"]))
        async for group in federation.walk(query, user="u")
    ]


@pytest.mark.parametrize("q", QUERIES)
async def test_the_answer_is_the_same_wherever_free_text_is_evaluated(q: str) -> None:
    answers = []
    for kinds in itertools.product((MemoryCatalogue, Unable), repeat=2):
        federation = await federation_of(kinds)
        answers.append(await walked(federation, Query(text=(q,), limit=2)))
    assert all(answer == answers[0] for answer in answers)
    assert bool(answers[0]) is (q != "nothing")


async def test_words_of_one_copy_of_a_collection_count_for_the_items_of_all_copies() -> None:
    federation = await federation_of((MemoryCatalogue, MemoryCatalogue))
    found = await walked(federation, Query(text=("radar charts",)))
    assert found == []
    found = await walked(federation, Query(text=("radar AND charts",)))
    assert {collection for collection, _ in found} == {"ice"}


async def test_a_site_whose_collections_cannot_match_is_not_asked() -> None:
    federation = await federation_of((MemoryCatalogue, MemoryCatalogue))
    page = await federation.search(Query(text=("-ice -land -sst",)), user="u")
    assert page.groups == []
    assert {report.reason for report in page.reports} == {"none of its collections can hold the words"}


async def test_a_search_for_named_sites_asks_no_other() -> None:
    federation = await federation_of((MemoryCatalogue, MemoryCatalogue))
    page = await federation.search(Query(sites=("s1",), limit=50), user="u")
    assert {row.site for group in page.groups for row in group} == {"s1"}
    assert next(report.status for report in page.reports if report.site == "s0") == "skipped"


def test_collections_whose_texts_decide_need_no_look_at_their_items() -> None:
    about = texts_of_collections(one for each in COLLECTIONS.values() for one in each)
    own = texts_of_collections(COLLECTIONS["s1"])
    scope = text_scope(("sea",), own, own, about)
    assert (scope.collections, scope.whole) == (frozenset({"ice", "sst"}), True)
    assert not scope.agreed  # the site's own title of its ice says nothing of a sea
    assert text_scope(("-sea",), own, own, about).collections == frozenset()


async def test_a_cursor_is_for_its_own_words_only() -> None:
    federation = await federation_of((MemoryCatalogue, MemoryCatalogue))
    page = await federation.search(Query(text=("sea",), limit=2), user="u")
    assert page.next is not None
    args: dict[str, Any] = {"user": "u", "token": page.next}
    for other in (Query(text=("ice",), limit=2), Query(limit=2), Query(text=("sea",), sites=("s0",), limit=2)):
        with pytest.raises(Exception, match="another search"):
            await federation.search(other, **args)


async def test_collections_that_are_not_asked_for_make_no_site_look_at_its_items() -> None:
    federation = await federation_of((Unable, Unable))
    page = await federation.search(Query(text=("sea",), collections=("ice",), limit=50), user="u")
    assert {report.filter for report in page.reports} == {"pushed"}  # nothing is left to look for in items
    assert len(page.groups) == 6
    page = await federation.search(Query(text=("sea",), collections=("ice", "land"), limit=50), user="u")
    assert {report.site: report.filter for report in page.reports} == {"s0": "residual", "s1": "pushed"}
