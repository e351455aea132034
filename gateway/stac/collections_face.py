"""Collections over HTTP: Collections, Collection Search, queryables and sortables."""

import asyncio
from collections.abc import Sequence

import msgspec
from aiohttp import web

from edges.model import MAX_LIMIT, Json
from edges.stac.limits import decode_object
from edges.stac.links import QUERYABLES_REL, SCHEMA_TYPE, SORTABLES_REL, link, page_link
from edges.stac.request import SearchRequest, search_from_get, search_from_post
from gateway.answers import json_answer, json_only
from gateway.principal import principal_of
from gateway.search.collection_search import CollectionPage, search_collections
from gateway.stac.harmonised import Harmonised
from gateway.stac.own_collections import OwnCollections, makes_one
from gateway.stac.sampling import Sampling
from gateway.stac.schemas import (
    all_observed,
    collection_queryables,
    collection_sortables,
    queryables,
    sortables,
    told_by,
)
from gateway.stac.scope import Scope

_PAGE = 1_000
"""Collections on a page where no limit is asked: clients expect them all at once."""
_LOOKS = 20
"""Collections whose items are looked at for one schema, where many are named."""


class CollectionsFace:
    """Serves the harmonised collections of the whole lake, and of each site's catalogue."""

    def __init__(self, *, harmonised: Harmonised, sampling: Sampling, own: OwnCollections) -> None:
        self._harmonised = harmonised
        self._sampling = sampling
        self._own = own

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the whole lake and of one site's catalogue."""
        return [
            route
            for root in ("", "/catalogs/{catalogue}")
            for route in (
                web.get(f"{root}/collections", json_only(self.by_get)),
                web.post(f"{root}/collections", json_only(self.by_post if root else self.by_post_or_made)),
                web.get(f"{root}/collections-queryables", json_only(self.collection_queryables)),
                web.get(f"{root}/collections-sortables", json_only(self.collection_sortables)),
                web.get(f"{root}/collections/{{collection}}", json_only(self.collection)),
                web.get(f"{root}/collections/{{collection}}/queryables", json_only(self.queryables)),
                web.get(f"{root}/collections/{{collection}}/sortables", json_only(self.sortables)),
                web.get(f"{root}/queryables", json_only(self.queryables)),
                web.get(f"{root}/sortables", json_only(self.sortables)),
            )
        ]

    async def by_get(self, request: web.Request) -> web.Response:
        """``GET /collections``: those that match, by default all of them on one page."""
        search = search_from_get(request.query, default_limit=_PAGE, max_limit=MAX_LIMIT)
        return self._found(request, search, None)

    async def by_post(self, request: web.Request) -> web.Response:
        """``POST /collections``: the same search, in a body."""
        body = await request.read()
        search = search_from_post(body, default_limit=_PAGE, max_limit=MAX_LIMIT)
        return self._found(request, search, msgspec.json.decode(body) if body.strip() else {})

    async def by_post_or_made(self, request: web.Request) -> web.StreamResponse:
        """``POST /collections``: a search, or a Collection to be made (Collection Transaction extension)."""
        body = await request.read()
        if body.strip() and makes_one(decode_object("body", body)):
            return await self._own.create(request)
        return await self.by_post(request)

    def _found(self, request: web.Request, search: SearchRequest, members: Json | None) -> web.Response:
        scope = self._scope(request)
        page = search_collections(self._harmonised.collections(scope).values(), search)
        backends = self._harmonised.backends(scope)
        content = {
            "collections": page.collections,
            "links": self._links(request, scope, page, members),
            "numberMatched": page.matched,
            "numberReturned": len(page.collections),
        }
        return json_answer(request, content | backends, keep=not backends["federation:missing"])

    def _links(self, request: web.Request, scope: Scope, page: CollectionPage, members: Json | None) -> list[Json]:
        own, parameters = scope.url("collections"), list(request.query.items())
        beside = [
            page_link(rel, own, parameters if members is None else members, token)
            for rel, token in (("next", page.next), ("prev", page.previous))
            if token is not None
        ]
        return [
            link("self", own),
            link("root", Scope(base=scope.base).url()),
            link("parent", scope.url()),
            link(QUERYABLES_REL, scope.url("collections-queryables"), SCHEMA_TYPE),
            link(SORTABLES_REL, scope.url("collections-sortables"), SCHEMA_TYPE),
            *beside,
        ]

    async def collection(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}``."""
        scope = self._scope(request)
        name = request.match_info["collection"]
        found = self._harmonised.collection(scope, name)
        return json_answer(request, found, tag=self._own.tag(name) if scope.site is None else None)

    async def queryables(self, request: web.Request) -> web.Response:
        """``GET /queryables``, also of one collection."""
        chosen, own = self._chosen(request, "queryables")
        return json_answer(request, queryables(chosen, await self._seen(request), own), SCHEMA_TYPE)

    async def sortables(self, request: web.Request) -> web.Response:
        """``GET /sortables``, also of one collection."""
        chosen, own = self._chosen(request, "sortables")
        return json_answer(request, sortables(chosen, await self._seen(request), own), SCHEMA_TYPE)

    async def collection_queryables(self, request: web.Request) -> web.Response:
        """``GET /collections-queryables``: what Collection Search can be asked for."""
        own = self._scope(request).url("collections-queryables")
        return json_answer(request, collection_queryables(own), SCHEMA_TYPE)

    async def collection_sortables(self, request: web.Request) -> web.Response:
        """``GET /collections-sortables``: what Collection Search can be sorted by."""
        own = self._scope(request).url("collections-sortables")
        return json_answer(request, collection_sortables(own), SCHEMA_TYPE)

    def _chosen(self, request: web.Request, what: str) -> tuple[list[Json], str]:
        """Return the collections that a schema is of (one, those of ``?collections=``, or all), and its address."""
        scope = self._scope(request)
        name = request.match_info.get("collection")
        own = scope.url(what) if name is None else scope.url("collections", name, what)
        wanted = _named(request)
        if not wanted:
            return list(self._harmonised.collections(scope).values()), own
        return [self._harmonised.collection(scope, each) for each in wanted], own

    async def _seen(self, request: web.Request) -> Json:
        """Return the properties of some items of those collections; of all, also what sites tell of themselves."""
        scope = self._scope(request)
        names: Sequence[str | None] = _named(request)[:_LOOKS] or (None,)
        seen = await asyncio.gather(*(self._sampling.properties(scope, name) for name in names))
        if names != (None,):
            return all_observed(seen)
        sites = [
            site for site in self._harmonised.sites(scope) if scope.sight is None or not scope.sight.narrows(site.id)
        ]
        told = [told_by(site.id, site.queryables) for site in sites]
        return all_observed([*seen, *told])

    def _scope(self, request: web.Request) -> Scope:
        return self._harmonised.scope(request.match_info.get("catalogue"), principal_of(request))


def _named(request: web.Request) -> list[str]:
    """Return the collections that a request names, by its path or by ``?collections=``."""
    name = request.match_info.get("collection")
    given = [name] if name is not None else request.query.get("collections", "").split(",")
    return list(dict.fromkeys(each.strip() for each in given if each.strip()))
