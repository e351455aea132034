"""The harmonised collections as they are served: united over the sites of a scope, and kept until a site tells anew.

Of several sites that hold a collection, each principal sees those that their sight shows. United collections are kept
by the sites that they are united from, and lists of them by sight: who sees what others see costs nothing more.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from edges.errors import NotFound
from edges.model import Json
from edges.registry import Registry, Site
from gateway.principal import Principal
from gateway.search.access import Access
from gateway.search.collections import unite
from gateway.search.sight import Sight
from gateway.stac.scope import Scope

_Told = dict[str, tuple[Json, ...] | None]
_KEPT = 256
"""Lists of collections remembered, by scope and sight."""


class Harmonised:
    """All collections of all scopes. ``base`` is the public URL that links are built from."""

    def __init__(self, *, registry: Registry, base: str, access: Access | None = None) -> None:
        self._registry = registry
        self._base = base
        self._access = access or Access(registry=registry)
        self._told: _Told = {}
        self._lists: OrderedDict[tuple[str | None, str], Mapping[str, Json]] = OrderedDict()
        self._united: dict[tuple[str | None, str, tuple[str, ...]], Json] = {}

    def scope(self, site: str | None, principal: Principal | None = None) -> Scope:
        """Return the scope of a site's catalogue, or of the whole lake, as somebody sees it; None is everybody.

        Raises:
            NotFound: there is no such site, or nothing to be seen of it.
        """
        sight = self._access.sight(principal)
        if site is not None and (self._registry.get(site) is None or not sight.present(site)):
            known = ", ".join(each.id for each in self._registry.sites() if sight.present(each.id))
            raise NotFound(f"no catalogue {site!r}; catalogues: {known or 'none'}")
        return Scope(base=self._base, site=site, sight=sight)

    def sites(self, scope: Scope) -> Sequence[Site]:
        """Return the sites of a scope, best priority first."""
        sight = self._sight(scope)
        return [site for site in self._registry.sites() if scope.site in (None, site.id) and sight.present(site.id)]

    def collections(self, scope: Scope) -> Mapping[str, Json]:
        """Return the collections by id."""
        self._look()
        sight = self._sight(scope)
        key = (scope.site, sight.mark)
        kept = self._lists.get(key)
        if kept is None:
            kept = self._lists[key] = self._listed(scope, sight)
            if len(self._lists) > _KEPT:
                self._lists.popitem(last=False)
        return kept

    def _look(self) -> None:
        """Forget what was united of what a site has told anew; users' collections come and go often."""
        told = {site.id: site.collections for site in self._registry.sites()}
        changed = {site for site in told.keys() | self._told.keys() if told.get(site) is not self._told.get(site)}
        if changed:
            self._told = told
            self._lists.clear()
            self._united = {key: one for key, one in self._united.items() if changed.isdisjoint(key[2])}

    def _listed(self, scope: Scope, sight: Sight) -> Mapping[str, Json]:
        copies: dict[str, list[tuple[str, Json]]] = {}
        for site in self.sites(scope):
            for one in site.collections or ():
                if sight.sees(site.id, str(one.get("id"))):
                    copies.setdefault(str(one.get("id")), []).append((site.id, one))
        return {name: self._one(scope, name, copies[name]) for name in sorted(copies)}

    def _one(self, scope: Scope, name: str, copies: list[tuple[str, Json]]) -> Json:
        key = (scope.site, name, tuple(site for site, _ in copies))
        known = self._united.get(key)
        if known is None:
            (united,) = unite(copies, base=self._base)
            known = self._united[key] = _linked(united, scope)
        return known

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
        sites, sight = self.sites(scope), self._sight(scope)
        return {
            "federation": {
                site.id: {"title": site.settings.title or site.id, "status": site.health.status} for site in sites
            },
            "federation:missing": [site.id for site in sites if site.collections is None or site.id in sight.blind],
        }

    def _sight(self, scope: Scope) -> Sight:
        return self._access.sight(None) if scope.sight is None else scope.sight


def _linked(collection: Json, scope: Scope) -> Json:
    own = scope.collection_links(collection["id"])
    ours = {each["rel"] for each in own}
    return collection | {"links": [*own, *(each for each in collection["links"] if each["rel"] not in ours)]}
