"""Small sites in memory that have copies of each other's items, and a federation over them."""

import json
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from edges.catalogues.memory import MemoryCatalogue
from edges.errors import SiteUnavailable
from edges.model import Batch, Capabilities, Json, Members, Query, SortKey
from edges.registry import Registry, Site
from edges.settings import CatalogueSettings, SiteSettings
from gateway.search.copies import Copies
from gateway.search.copies_trust import CopiesTrust
from gateway.search.cursor import Cursors
from gateway.search.federation import Federation
from gateway.search.stages import Stage

NOW = 1_790_000_000.0


class Counted(MemoryCatalogue):
    """A memory catalogue that can do less, counts what it is asked, and fails when told to."""

    def __init__(self, *, can: Capabilities, page: int = 100) -> None:
        super().__init__()
        self.can = can
        self.page = page
        self.asked: list[Query] = []
        self.down = False

    async def capabilities(self) -> Capabilities:
        return self.can

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        self.asked.append(query)
        if self.down:
            raise SiteUnavailable("x", "refused")
        if not self.can.filter:
            query = msgspec.structs.replace(query, filter=None)
        if not self.can.sort:
            query = msgspec.structs.replace(query, sortby=(SortKey(field="id"),))
        return await super().search(query, limit=min(limit, self.page), after=after)


ABLE = Capabilities(filter=True, sort=True)


def item(
    item_id: str, collection: str = "c", *, at: str | None = None, checksum: str = "", told: Json | None = None
) -> Json:
    assets = {"red": {"href": f"s3://x/{item_id}", "file:checksum": checksum}} if checksum else {}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": collection,
        "geometry": {"type": "Point", "coordinates": [10.0, 50.0]}, "bbox": [10.0, 50.0, 10.0, 50.0],
        "properties": {"datetime": at} | (told or {}), "assets": assets, "links": [],
    }  # fmt: skip


async def filled(catalogue: MemoryCatalogue, items: Iterable[Json]) -> MemoryCatalogue:
    for each in items:
        await catalogue.put_collection({"id": each["collection"], "type": "Collection"})
        await catalogue.put_items(each["collection"], [each])
    return catalogue


def registry_of(catalogues: dict[str, Any], *, disjoint: Collection[str] = ()) -> Registry:
    settings_of = {
        name: SiteSettings(
            id=name,
            kind="hub",
            catalogue=CatalogueSettings(url="http://x.example", max_page=50, disjoint=name in disjoint),
        )
        for name in catalogues
    }
    sites = [Site(settings_of[name], catalogue) for name, catalogue in catalogues.items()]
    return Registry(sites, probe_seconds=60, clock=lambda: NOW)


async def federation_of(
    catalogues: dict[str, MemoryCatalogue], *, most: int = 4_000, stages: tuple[Stage, ...] | None = None
) -> Federation:
    registry = registry_of(catalogues)
    await registry.probe()
    trust = CopiesTrust(registry=registry, audit_seconds=60)
    return federation_over(registry, (Copies(trust=trust, most=most),) if stages is None else stages)


def federation_over(registry: Registry, stages: tuple[Stage, ...]) -> Federation:
    return Federation(
        registry=registry,
        cursors=Cursors(key=b"k" * 32, lifetime_seconds=60),
        deadline_seconds=5.0,
        stages=stages,
        clock=lambda: NOW,
    )


Named = tuple[str, str]


def name_of(members: Members) -> Named:
    return msgspec.json.decode(members["collection"]), msgspec.json.decode(members["id"])


async def walked(federation: Federation, query: Query) -> list[list[tuple[str, Named]]]:
    """Return all groups of all pages, each row by its site and name."""
    found, token = [], None
    while True:
        page = await federation.search(query, user="u", token=token, strict=True)
        assert len(page.groups) <= query.limit
        assert page.groups or page.next is None, "an empty page with a next link"
        found += [[(row.site, name_of(row.item)) for row in group] for group in page.groups]
        token = page.next
        if token is None:
            return found


def raw(document: Json) -> Members:
    return msgspec.json.decode(json.dumps(document).encode(), type=Members)
