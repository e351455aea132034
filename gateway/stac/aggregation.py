"""The Aggregation extension (v0.3.0) over all sites: counts of what a search matches, each copy counted once."""

import msgspec
from aiohttp import web

from edges.model import Json, Query
from edges.stac.aggregation import Wanted, wanted_from_get, wanted_from_post
from edges.stac.aggregation_document import aggregate_document, aggregations_document
from edges.stac.links import link, url_of
from edges.stac.request import search_from_get, search_from_post
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.aggregation import Aggregated, FederatedAggregation, NotExact
from gateway.search.federation import PartialRefused
from gateway.stac.demand import Demand, demand_of
from gateway.stac.harmonised import Harmonised
from gateway.stac.scope import Scope
from quotas.model import Line

_TOLD = 10
"""Most collections that a refusal names."""


class AggregationFace:
    """Serves ``/aggregations`` and ``/aggregate``, of all items, of one collection, and of one site's catalogue.

    A request is charged as such, and the items that had to be walked over, as those of a search.
    """

    def __init__(self, *, aggregation: FederatedAggregation, harmonised: Harmonised, charging: Charging) -> None:
        self._aggregation = aggregation
        self._harmonised = harmonised
        self._charging = charging

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [
            route
            for scope in ("", "/catalogs/{catalogue}")
            for root in (scope, f"{scope}/collections/{{collection}}")
            for route in (
                web.get(f"{root}/aggregations", self.aggregations),
                web.get(f"{root}/aggregate", self.by_get),
                web.post(f"{root}/aggregate", self.by_post),
            )
        ]

    async def aggregations(self, request: web.Request) -> web.Response:
        """``GET /aggregations``: what can be asked for."""
        principal_of(request)
        return _json(aggregations_document(self._links(request, "aggregations")))

    async def by_get(self, request: web.Request) -> web.Response:
        """``GET /aggregate``."""
        principal_of(request)
        search = search_from_get(request.query, default_limit=1, max_limit=1)
        wanted = wanted_from_get(request.query)
        return await self._answer(request, search.query, wanted, demand_of({}, request.query))

    async def by_post(self, request: web.Request) -> web.Response:
        """``POST /aggregate``."""
        principal_of(request)
        body = await request.read()
        search = search_from_post(body, default_limit=1, max_limit=1)
        wanted = wanted_from_post(body)
        return await self._answer(request, search.query, wanted, demand_of(msgspec.json.decode(body), request.query))

    async def _answer(self, request: web.Request, query: Query, wanted: Wanted, demand: Demand) -> web.Response:
        principal = principal_of(request)
        query, sight = self._scoped(request, query), self._scope(request).sight
        await self._charging.request(principal, [Line(resource="requests", amount=1)])

        async def pay(items: int) -> None:
            if items:
                await self._charging.request(principal, [Line(resource="items", amount=items)])

        found = await self._aggregation.aggregate(query, wanted, user=principal.user, pay=pay, sight=sight)
        _check(found, demand)
        document = aggregate_document(found.tally, wanted, self._links(request, "aggregate"), exact=found.exact)
        document["federation"] = found.sites
        document["federation:missing"] = found.missing
        response = _json(document)
        if not found.exact:
            response.headers["Cache-Control"] = "no-store"
        return response

    def _scoped(self, request: web.Request, query: Query) -> Query:
        scope, name = self._scope(request), request.match_info.get("collection")
        if scope.site is not None:
            query = msgspec.structs.replace(query, sites=scope.sites)
        if name is None:
            return query
        self._harmonised.collection(scope, name)
        return msgspec.structs.replace(query, collections=(name,))

    def _scope(self, request: web.Request) -> Scope:
        return self._harmonised.scope(request.match_info.get("catalogue"), principal_of(request))

    def _links(self, request: web.Request, kind: str) -> list[Json]:
        scope, name = self._scope(request), request.match_info.get("collection")
        if name is not None:
            self._harmonised.collection(scope, name)
        steps = () if name is None else ("collections", name)
        return [link("self", scope.url(*steps, kind)), link("root", url_of(scope.base))]


def _check(found: Aggregated, demand: Demand) -> None:
    """Refuse what is less than the client demands.

    Raises:
        PartialRefused: a site is missing.
        NotExact: there was more than could be walked over; says what to narrow.
    """
    lost = [site for site in found.missing if demand.strict or site in demand.require]
    if lost:
        raise PartialRefused("; ".join(f"{site}: {found.sites[site].reason}" for site in lost))
    if demand.strict and not found.exact:
        names = ", ".join(found.walked[:_TOLD]) + (", ..." if len(found.walked) > _TOLD else "")
        raise NotExact(
            f"there are too many items to count one by one in {names}; narrow collections, bbox or datetime, or ask "
            "without strict for a lower bound"
        )


def _json(content: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
