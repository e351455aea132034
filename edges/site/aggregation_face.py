"""A site's catalogue counts for itself: the Aggregation extension (v0.3.0), of all items and of one collection."""

import msgspec
from aiohttp import web

from edges.catalogues.aggregating import Aggregating
from edges.errors import NotFound
from edges.model import Json
from edges.seams import Catalogue
from edges.site.bodies import json_response, read_body
from edges.stac.aggregation import AGGREGATION_CONFORMANCE, OWN_CLASS, Wanted, wanted_from_get, wanted_from_post
from edges.stac.aggregation_document import aggregate_document, aggregations_document
from edges.stac.limits import MAX_BODY_BYTES
from edges.stac.links import link, url_of
from edges.stac.request import SearchRequest, search_from_get, search_from_post

CONFORMANCE = (*AGGREGATION_CONFORMANCE, OWN_CLASS)
"""What a site declares beside the rest."""


class AggregationFace:
    """Serves ``/aggregations`` and ``/aggregate``. ``base`` is the public URL of the site."""

    def __init__(self, *, catalogue: Catalogue, counting: Aggregating, base: str) -> None:
        self._catalogue = catalogue
        self._counting = counting
        self._base = base

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [
            route
            for root in ("", "/collections/{collection}")
            for route in (
                web.get(f"{root}/aggregations", self.aggregations),
                web.get(f"{root}/aggregate", self.by_get),
                web.post(f"{root}/aggregate", self.by_post),
            )
        ]

    async def aggregations(self, request: web.Request) -> web.Response:
        """``GET /aggregations``: what can be asked for."""
        await self._checked(request)
        return json_response(aggregations_document(self._links(request, "aggregations")))

    async def by_get(self, request: web.Request) -> web.Response:
        """``GET /aggregate``."""
        search = search_from_get(request.query, default_limit=1, max_limit=1)
        return await self._answer(request, search, wanted_from_get(request.query))

    async def by_post(self, request: web.Request) -> web.Response:
        """``POST /aggregate``."""
        body = await read_body(request, MAX_BODY_BYTES)
        return await self._answer(request, search_from_post(body, default_limit=1, max_limit=1), wanted_from_post(body))

    async def _answer(self, request: web.Request, search: SearchRequest, wanted: Wanted) -> web.Response:
        await self._checked(request)
        query, name = search.query, request.match_info.get("collection")
        if name is not None:
            query = msgspec.structs.replace(query, collections=(name,))
        tally = await self._counting.aggregate(query, wanted)
        return json_response(aggregate_document(tally, wanted, self._links(request, "aggregate")))

    async def _checked(self, request: web.Request) -> None:
        name = request.match_info.get("collection")
        if name is not None and all(one["id"] != name for one in await self._catalogue.collections()):
            raise NotFound(f"there is no collection {name!r}")

    def _links(self, request: web.Request, kind: str) -> list[Json]:
        name = request.match_info.get("collection")
        steps = () if name is None else ("collections", name)
        return [link("self", url_of(self._base, *steps, kind)), link("root", url_of(self._base))]
