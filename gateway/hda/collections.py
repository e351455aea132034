"""The collections as clients of HDA read them: united over the sites, kept until one of them tells anew."""

from collections.abc import Collection, Mapping, Sequence

from edges.errors import NotFound
from edges.model import Frozen, Json
from edges.registry import Registry, Site
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, QUERYABLES_REL, link, url_of
from gateway.search.collections import unite

SCHEMA_TYPE = "application/schema+json"
LONGEST_SHORT = 200
"""Characters of a description that is made where a collection has no short one."""
_Told = list[tuple[Json, ...] | None]


class Naming(Frozen):
    """How the sites are called as backends: ``names`` by site, ``sites`` by name."""

    names: Mapping[str, str]
    sites: Mapping[str, str]


def naming_of(sites: Collection[str], aliases: Mapping[str, str]) -> Naming:
    """Return the names of sites; ``aliases`` are others by which clients call them, the first one of a site counts."""
    known = {alias: site for alias, site in aliases.items() if site in sites}
    names = {site: site for site in sites} | {site: alias for alias, site in reversed(known.items())}
    return Naming(names=names, sites={site: site for site in sites} | known)


class HdaCollections:
    """All collections, by id. ``base`` is the address of the face, ``orders`` are the sites that take orders."""

    def __init__(self, *, registry: Registry, base: str, naming: Naming, orders: Collection[str]) -> None:
        self._registry = registry
        self._base = base
        self._naming = naming
        self._orders = orders
        self._kept: tuple[_Told, Mapping[str, Json]] = ([], {})

    def all(self) -> Mapping[str, Json]:
        """Return the collections by id."""
        sites = self._registry.sites()
        told: _Told = [site.collections for site in sites]
        before, kept = self._kept
        if len(before) == len(told) and all(a is b for a, b in zip(before, told, strict=True)):
            return kept
        united = unite([(site.id, each) for site in sites for each in site.collections or ()], base=self._base)
        found = {one["id"]: self._as_told(one) for one in united}
        self._kept = (told, found)
        return found

    def one(self, name: str) -> Json:
        """Return one collection.

        Raises:
            NotFound: no site tells of it.
        """
        found = self.all().get(name)
        if found is None:
            raise NotFound(f"Collection {name} does not exist.")
        return found

    def title(self, name: str) -> str:
        """Return a collection's title, or its id."""
        return str(self.all().get(name, {}).get("title") or name)

    def holders(self, name: str, among: Sequence[str] | None = None) -> list[Site]:
        """Return the sites that tell of a collection, of some or of all, the best first."""
        return [
            site
            for site in self._registry.sites()
            if name in (site.collection_ids or ()) and (among is None or site.id in among)
        ]

    def held_by(self, sites: Sequence[str] | None) -> list[Json]:
        """Return the collections of some sites, or all."""
        if sites is None:
            return list(self.all().values())
        names = {name for site in self._registry.sites() if site.id in sites for name in site.collection_ids or ()}
        return [one for name, one in self.all().items() if name in names]

    def _as_told(self, united: Json) -> Json:
        name, naming = united["id"], self._naming
        holders = [site.id for site in self.holders(name)]
        backends = [naming.names.get(site, site) for site in holders]
        summaries = dict(united.get("summaries") or {}) | {"federation:backends": backends}
        description = str(united.get("description") or name)
        own = {"federation:backends": backends, "summaries": summaries}
        own["links"] = self._links(united, orderable=any(site in self._orders for site in holders))
        return {"dedl:short_description": description[:LONGEST_SHORT]} | united | own

    def _links(self, united: Json, *, orderable: bool) -> list[Json]:
        name = united["id"]
        own = url_of(self._base, "collections", name)
        ours = [
            link("self", own, JSON_TYPE, name),
            link("root", url_of(self._base), JSON_TYPE),
            link("parent", url_of(self._base), JSON_TYPE),
            link("items", f"{own}/items", GEOJSON_TYPE, "Items"),
            link(QUERYABLES_REL, f"{own}/queryables", SCHEMA_TYPE, "Queryables"),
        ]
        if orderable:
            ours.insert(0, link("retrieve", f"{own}/order", GEOJSON_TYPE, "Retrieve") | {"method": "POST"})
        taken = {each["rel"] for each in ours} | {"retrieve"}
        return [*ours, *(each for each in united.get("links", ()) if each["rel"] not in taken)]
