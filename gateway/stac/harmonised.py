"""The harmonised collections as they are served: united over the sites of a scope, and kept until a site tells anew."""

from collections.abc import Mapping, Sequence

from edges.errors import NotFound
from edges.model import Json
from edges.registry import Registry, Site
from gateway.search.collections import unite
from gateway.stac.scope import Scope

_Told = list[tuple[Json, ...] | None]


class Harmonised:
    """All collections of all scopes. ``base`` is the public URL that links are built from."""

    def __init__(self, *, registry: Registry, base: str) -> None:
        self._registry = registry
        self._base = base
        self._kept: dict[str | None, tuple[_Told, Mapping[str, Json]]] = {}

    def scope(self, site: str | None) -> Scope:
        """Return the scope of a site's catalogue, or of the whole lake.

        Raises:
            NotFound: there is no such site.
        """
        if site is not None and self._registry.get(site) is None:
            known = ", ".join(each.id for each in self._registry.sites())
            raise NotFound(f"no catalogue {site!r}; catalogues: {known or 'none'}")
        return Scope(base=self._base, site=site)

    def sites(self, scope: Scope) -> Sequence[Site]:
        """Return the sites of a scope, best priority first."""
        return [site for site in self._registry.sites() if scope.site in (None, site.id)]

    def collections(self, scope: Scope) -> Mapping[str, Json]:
        """Return the collections by id."""
        sites = self.sites(scope)
        told: _Told = [site.collections for site in sites]
        kept = self._kept.get(scope.site)
        if kept is not None and len(kept[0]) == len(told) and all(a is b for a, b in zip(kept[0], told, strict=True)):
            return kept[1]
        united = unite([(site.id, each) for site in sites for each in site.collections or ()], base=self._base)
        found = {one["id"]: _linked(one, scope) for one in united}
        self._kept[scope.site] = (told, found)
        return found

    def collection(self, scope: Scope, name: str) -> Json:
        """Return one collection.

        Raises:
            NotFound: no site of the scope tells of it.
        """
        found = self.collections(scope).get(name)
        if found is None:
            raise NotFound(f"no site tells of a collection {name!r}")
        return found

    def backends(self, scope: Scope) -> Json:
        """Tell the sites, and which of them are missing (openEO federation 0.1.0)."""
        sites = self.sites(scope)
        return {
            "federation": {
                site.id: {"title": site.settings.title or site.id, "status": site.health.status} for site in sites
            },
            "federation:missing": [site.id for site in sites if site.collections is None],
        }


def _linked(collection: Json, scope: Scope) -> Json:
    own = scope.collection_links(collection["id"])
    ours = {each["rel"] for each in own}
    return collection | {"links": [*own, *(each for each in collection["links"] if each["rel"] not in ours)]}
