"""The federated search as harvests see it: a walk over plain items, each with its best copy's site."""

from collections.abc import AsyncIterator

import msgspec

from edges.model import Json, Query
from edges.registry import Registry
from gateway.search.collections import unite
from gateway.search.federation import Federation
from gateway.search.render import merged_copies, preference, sort_out
from harvest.model import FoundItem

HARVEST_USER = "lakegate-harvest"


class FederatedSources:
    """Implements :class:`harvest.seams.Search` and, as ``describe``, :class:`harvest.seams.Describe`."""

    def __init__(self, *, federation: Federation, registry: Registry, base: str) -> None:
        self._federation = federation
        self._registry = registry
        self._base = base

    async def __call__(self, query: Query) -> AsyncIterator[FoundItem]:
        """Walk over all matches whose data everybody may have; an error rather than a silently missing site.

        An order says who pays for it, not who may read what it finds: what is private is not brought elsewhere.
        """
        sight = self._federation.access.for_harvests()
        prefer = preference({site.id: site.settings.priority for site in self._registry.sites()})
        async for group in self._federation.walk(query, user=HARVEST_USER, sight=sight):
            stands = sort_out(group, prefer=prefer).stands
            item = msgspec.json.encode(merged_copies(group, prefer=prefer))
            yield FoundItem(site=stands.site, item=msgspec.json.decode(item))

    async def describe(self, collection: str) -> Json | None:
        """Return the united collection."""
        sight = self._federation.sight(None)
        told = [
            (site.id, each)
            for site in self._registry.sites()
            for each in site.collections or ()
            if each.get("id") == collection and sight.sees(site.id, collection)
        ]
        return next(iter(unite(told, base=self._base)), None)
