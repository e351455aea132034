"""Queryables over HTTP: what a collection can be asked for, narrowed by what is chosen already."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec
from aiohttp import web
from multidict import MultiMapping

from edges.errors import EdgeError, InvalidInput
from edges.model import Json
from edges.narrowing import Chosen, Narrowing
from edges.single_flight import SingleFlight
from edges.stac.links import SCHEMA_TYPE, url_of
from gateway.answers import json_answer, json_only
from gateway.hda.catalogue_face import ROOTS
from gateway.hda.collections import HdaCollections, HdaSeen, Naming
from gateway.hda.requests import Terms, search_of_members, sites_of
from gateway.hda.schemas import Told, document, of_items, of_schema, of_summaries, united
from gateway.principal import PRINCIPAL, Principal
from gateway.search.federation import Federation

_log = logging.getLogger(__name__)

_PINS = ("federation:backends", "provider")
_NO_VALUES = frozenset({*_PINS, "collections", "limit", "token", "page", "bbox", "intersects", "geometry", "ids", "id"})
MOST_CHOSEN = 100
FRESH_SECONDS = 300.0
KEPT = 2_000
PATIENCE_SECONDS = 10.0
_LOOKS = 100
"""Items that are looked at for the values that they have."""
_Key = tuple[str, str, tuple[tuple[str, tuple[str, ...]], ...]]


class QueryablesFace:
    """Serves queryables. ``narrowings`` are the sites that tell of their own, asked at most once in five minutes.

    Where no site tells, what items have is looked at; not for who may not search.
    """

    def __init__(
        self,
        *,
        federation: Federation,
        collections: HdaCollections,
        naming: Naming,
        narrowings: Mapping[str, Narrowing],
        base: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._federation = federation
        self._collections = collections
        self._naming = naming
        self._narrowings = narrowings
        self._base = base
        self._clock = clock
        self._terms = Terms(default_limit=_LOOKS, max_limit=_LOOKS, sites=naming.sites)
        self._kept: OrderedDict[_Key, tuple[float, Json | None]] = OrderedDict()
        self._asking: SingleFlight[_Key, Json | None] = SingleFlight()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of both roots."""
        return [
            route
            for root in ROOTS
            for route in (
                web.get(f"{root}/queryables", json_only(self.all)),
                web.get(f"{root}/collections/{{collection}}/queryables", json_only(self.one)),
            )
        ]

    async def all(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/queryables``: what all collections' summaries tell."""
        seen = self._collections.seen_by(request.get(PRINCIPAL))
        told = united([of_summaries(each) for each in seen.by_id.values()])
        plain = {name: {"title": name, "type": each["type"]} for name, each in told.properties.items()}
        return json_answer(request, document(url_of(self._base, "queryables"), Told(properties=plain)), SCHEMA_TYPE)

    async def one(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/collections/{collection}/queryables``, narrowed by the parameters."""
        principal, name = request.get(PRINCIPAL), request.match_info["collection"]
        seen = self._collections.seen_by(principal)
        collection, chosen = seen.one(name), chosen_of(request.query)
        pins = [pin for key in _PINS for pin in request.query.getall(key, [])]
        sites = seen.holders(name, sites_of(pins, self._naming.sites) if pins else None)
        told = await self._told_by(sites, name, chosen)
        if len(told) < len(sites) or not told:
            told.append(await self._looked_at(principal, seen, collection, sites, chosen))
        own = url_of(self._base, "collections", name, "queryables")
        return json_answer(request, document(own, united(told)), SCHEMA_TYPE)

    async def _told_by(self, sites: Sequence[str], name: str, chosen: Chosen) -> list[Told]:
        """Return what sites tell of themselves; one that fails tells nothing."""
        asked = [(site, self._narrowings[site]) for site in sites if site in self._narrowings]
        schemas = await asyncio.gather(*(self._asked(site, narrowing, name, chosen) for site, narrowing in asked))
        told = [of_schema(schema) for schema in schemas if schema is not None]
        return [each for each in told if each.tells]

    async def _asked(self, site: str, narrowing: Narrowing, name: str, chosen: Chosen) -> Json | None:
        key: _Key = (site, name, tuple(sorted((each, tuple(values)) for each, values in chosen.items())))
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await self._asking.run(key, lambda: narrowing.queryables(name, chosen))
        except (TimeoutError, EdgeError) as error:
            _log.info("queryables not told", extra={"site": site, "reason": str(error)[:200]})
            return None
        self._kept[key] = (self._clock() + FRESH_SECONDS, found)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    async def _looked_at(
        self, principal: Principal | None, seen: HdaSeen, collection: Json, sites: Sequence[str], chosen: Chosen
    ) -> Told:
        """Return what summaries tell, and what a look at the items that match the choice shows."""
        summaries = of_summaries(collection) if not chosen else Told()
        if principal is None:
            return of_summaries(collection)
        members: Json = {
            "collections": [collection["id"]],
            "query": {name: {"eq": list(values) if len(values) > 1 else values[0]} for name, values in chosen.items()},
        }
        if "datetime" in chosen:
            members["datetime"] = members["query"].pop("datetime")["eq"]
        query = msgspec.structs.replace(search_of_members(members, self._terms).search.query, sites=tuple(sites))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                page = await self._federation.search(query, user=principal.user, sight=seen.sight)
        except (TimeoutError, EdgeError) as error:
            _log.info("no look at items", extra={"collection": collection["id"], "reason": str(error)[:200]})
            return of_summaries(collection)
        found = of_items((group[0].item for group in page.groups), whole=page.next is None and not page.missing)
        return Told(properties=dict(summaries.properties) | dict(found.properties))


def chosen_of(parameters: MultiMapping[str]) -> Chosen:
    """Return the values that the parameters choose, by property.

    Raises:
        InvalidInput: too many.
    """
    names = [name for name in dict.fromkeys(parameters) if name not in _NO_VALUES]
    chosen = {name: [value for value in parameters.getall(name) if value.strip()] for name in names}
    if sum(len(values) for values in chosen.values()) > MOST_CHOSEN:
        raise InvalidInput("parameters", f"more than {MOST_CHOSEN} values", f"at most {MOST_CHOSEN}")
    return {name: values for name, values in chosen.items() if values}
