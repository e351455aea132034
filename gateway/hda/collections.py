"""The collections as clients of HDA read them: united over the sites, kept until one of them tells anew."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence

from edges.errors import NotFound
from edges.model import Frozen, Json
from edges.registry import Registry
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, QUERYABLES_REL, SCHEMA_TYPE, link, url_of
from gateway.principal import Principal
from gateway.search.access import Access
from gateway.search.collections import unite
from gateway.search.sight import Sight

LONGEST_SHORT = 200
"""Characters of a description that is made where a collection has no short one."""
_Told = list[tuple[Json, ...] | None]
_KEPT = 256
"""Sights whose collections are remembered."""


class Naming(Frozen):
    """How the sites are called as backends: ``names`` by site, ``sites`` by name."""

    names: Mapping[str, str]
    sites: Mapping[str, str]


def naming_of(sites: Collection[str], aliases: Mapping[str, str]) -> Naming:
    """Return the names of sites; ``aliases`` are others by which clients call them, the first one of a site counts."""
    known = {alias: site for alias, site in aliases.items() if site in sites}
    names = {site: site for site in sites} | {site: alias for alias, site in reversed(known.items())}
    return Naming(names=names, sites={site: site for site in sites} | known)


class HdaSeen:
    """The collections that somebody sees: ``by_id``, and the ids that each site holds of them."""

    def __init__(self, *, by_id: Mapping[str, Json], held: Mapping[str, frozenset[str]], sight: Sight) -> None:
        self.by_id = by_id
        self.sight = sight
        self._held = held

    def one(self, name: str) -> Json:
        """Return one collection.

        Raises:
            NotFound: no site tells of it.
        """
        found = self.by_id.get(name)
        if found is None:
            raise NotFound(f"Collection {name} does not exist.")
        return found

    def title(self, name: str) -> str:
        """Return a collection's title, or its id."""
        return str(self.by_id.get(name, {}).get("title") or name)

    def holders(self, name: str, among: Sequence[str] | None = None) -> list[str]:
        """Return the sites that hold a collection, of some or of all, the best first."""
        return [site for site, names in self._held.items() if name in names and (among is None or site in among)]

    def held_by(self, sites: Sequence[str] | None) -> list[Json]:
        """Return the collections of some sites, or all."""
        if sites is None:
            return list(self.by_id.values())
        return [one for name, one in self.by_id.items() if self.holders(name, sites)]


class HdaCollections:
    """All collections. ``base`` is the address of the face, ``orders`` are the sites that take orders."""

    def __init__(
        self, *, registry: Registry, access: Access, base: str, naming: Naming, orders: Collection[str]
    ) -> None:
        self._registry = registry
        self._access = access
        self._base = base
        self._naming = naming
        self._orders = orders
        self._told: _Told = []
        self._kept: OrderedDict[str, HdaSeen] = OrderedDict()

    def seen_by(self, principal: Principal | None) -> HdaSeen:
        """Return what somebody sees; None is everybody."""
        told: _Told = [site.collections for site in self._registry.sites()]
        if len(self._told) != len(told) or any(a is not b for a, b in zip(self._told, told, strict=True)):
            self._told = told
            self._kept.clear()
        sight = self._access.sight(principal)
        kept = self._kept.get(sight.mark)
        if kept is None:
            kept = self._kept[sight.mark] = self._seen(sight)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return kept

    def _seen(self, sight: Sight) -> HdaSeen:
        pairs = [
            (site.id, one)
            for site in self._registry.sites()
            for one in site.collections or ()
            if sight.sees(site.id, str(one.get("id")))
        ]
        held: dict[str, set[str]] = {}
        for site, one in pairs:
            held.setdefault(site, set()).add(str(one.get("id")))
        united = unite(pairs, base=self._base)
        holders = {one["id"]: [site for site, names in held.items() if one["id"] in names] for one in united}
        return HdaSeen(
            by_id={one["id"]: self._as_told(one, holders[one["id"]]) for one in united},
            held={site: frozenset(names) for site, names in held.items()},
            sight=sight,
        )

    def _as_told(self, united: Json, holders: Sequence[str]) -> Json:
        name = united["id"]
        backends = [self._naming.names.get(site, site) for site in holders]
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
