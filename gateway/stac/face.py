"""The harmonised catalogue as a STAC API (1.0.0): core, collections, features, item search."""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from edges.errors import NotFound
from edges.model import Json, Members, Query
from edges.registry import Registry
from edges.stac import documents
from edges.stac.fields import apply_fields
from edges.stac.links import GEOJSON_TYPE, next_by_get, next_by_post, url_of
from edges.stac.request import SearchRequest, search_from_get, search_from_post
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.collections import unite
from gateway.search.federation import Federation
from gateway.search.page import Page
from gateway.search.render import preference, render_item
from gateway.settings import LimitSettings
from gateway.stac.demand import Demand, demand_of
from gateway.stac.openapi import OPENAPI_TYPE, openapi_document, openapi_page
from gateway.stac.schemas import queryables, sortables
from quotas.model import Line


class StacFace:
    """Serves search, collections and items over all sites. ``base`` is the public URL that links are built from."""

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        charging: Charging,
        limits: LimitSettings,
        base: str,
    ) -> None:
        self._federation = federation
        self._registry = registry
        self._charging = charging
        self._limits = limits
        self._base = base

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        one = "/collections/{collection}"
        return [
            web.get("/", self.landing),
            web.get("/conformance", self.conformance),
            web.get("/api", self.api),
            web.get("/api.html", self.api_page),
            web.get("/collections", self.collections),
            web.get(one, self.collection),
            web.get(f"{one}/items", self.items),
            web.get(f"{one}/items/{{item}}", self.item),
            web.get("/search", self.search_by_get),
            web.post("/search", self.search_by_post),
            web.get("/queryables", self.queryables),
            web.get("/sortables", self.sortables),
            web.get(f"{one}/queryables", self.queryables),
            web.get(f"{one}/sortables", self.sortables),
        ]

    async def landing(self, request: web.Request) -> web.Response:
        """``GET /`` (STAC API Core)."""
        principal_of(request)
        return _json(
            documents.landing_page(
                base=self._base,
                catalogue_id="lakegate",
                title="Lakegate",
                description="One catalogue over many data lakes.",
                conformance=documents.CONFORMANCE,
                collections=self._united(),
            )
        )

    async def conformance(self, request: web.Request) -> web.Response:
        """``GET /conformance``."""
        return _json(documents.conformance_page(documents.CONFORMANCE))

    async def api(self, request: web.Request) -> web.Response:
        """``GET /api``: the OpenAPI description."""
        return _json(openapi_document(self._base), OPENAPI_TYPE)

    async def api_page(self, request: web.Request) -> web.Response:
        """``GET /api.html``: the same for a person."""
        return web.Response(text=openapi_page(openapi_document(self._base)), content_type="text/html")

    async def collections(self, request: web.Request) -> web.Response:
        """``GET /collections``: all harmonised collections, on one page."""
        principal_of(request)
        return _json(documents.collections_page(self._united(), self._base) | self._backends())

    async def collection(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}``."""
        principal_of(request)
        return _json(self._collection(request.match_info["collection"]))

    async def item(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/items/{item}``: one item with all its copies."""
        principal = principal_of(request)
        collection, item_id = request.match_info["collection"], request.match_info["item"]
        async with self._charging.request(principal, [Line(resource="requests", amount=1)]):
            group = await self._federation.item(collection, item_id)
        if not group:
            raise NotFound(f"no site has an item {item_id!r} in collection {collection!r}")
        item = render_item(group, base=self._base, prefer=self._preference(request))
        return web.Response(body=msgspec.json.encode(item), content_type=GEOJSON_TYPE)

    async def items(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/items`` (OGC API Features, with the search parameters)."""
        collection = request.match_info["collection"]
        self._collection(collection)
        search = self._by_get(request)
        query = msgspec.structs.replace(search.query, collections=(collection,))
        own = url_of(self._base, "collections", collection, "items")
        parameters = list(request.query.items())
        return await self._answer(
            request,
            msgspec.structs.replace(search, query=query),
            demand=demand_of({}, request.query),
            own=own,
            following=lambda token: next_by_get(own, parameters, token),
        )

    async def search_by_get(self, request: web.Request) -> web.Response:
        """``GET /search``."""
        own, parameters = url_of(self._base, "search"), list(request.query.items())
        return await self._answer(
            request,
            self._by_get(request),
            demand=demand_of({}, request.query),
            own=own,
            following=lambda token: next_by_get(own, parameters, token),
        )

    async def search_by_post(self, request: web.Request) -> web.Response:
        """``POST /search``."""
        body = await request.read()
        search = search_from_post(
            body, default_limit=self._limits.default_page_items, max_limit=self._limits.page_items
        )
        members: Json = msgspec.json.decode(body) if body.strip() else {}
        own = url_of(self._base, "search")
        return await self._answer(
            request,
            search,
            demand=demand_of(members, request.query),
            own=own,
            following=lambda token: next_by_post(own, members, token),
        )

    async def queryables(self, request: web.Request) -> web.Response:
        """``GET /queryables``, also of one collection."""
        return _json(queryables(self._scope(request), f"{self._base}{request.path}"), documents.SCHEMA_TYPE)

    async def sortables(self, request: web.Request) -> web.Response:
        """``GET /sortables``, also of one collection."""
        return _json(sortables(self._scope(request), f"{self._base}{request.path}"), documents.SCHEMA_TYPE)

    async def _answer(
        self,
        request: web.Request,
        search: SearchRequest,
        *,
        demand: Demand,
        own: str,
        following: Callable[[str], Json],
    ) -> web.Response:
        principal = principal_of(request)
        lines = [Line(resource="requests", amount=1), Line(resource="items", amount=search.query.limit)]
        async with self._charging.request(principal, lines) as spending:
            page = await self._federation.search(
                search.query,
                user=principal.user,
                token=search.token,
                strict=demand.strict,
                require=demand.require,
            )
            spending.actual("items", len(page.groups))
        items = self._rendered(page, search.query, request)
        link = following(page.next) if page.next is not None else None
        body = documents.item_collection(
            items,
            links=documents.page_links(self._base, own, link),
            matched=page.matched,
            extra=_report(page),
        )
        response = web.Response(body=_checked(body), content_type=GEOJSON_TYPE)
        if page.missing:
            response.headers["Cache-Control"] = "no-store"
        return response

    def _rendered(self, page: Page, query: Query, request: web.Request) -> list[Members]:
        prefer = self._preference(request)
        rendered = [render_item(group, base=self._base, prefer=prefer) for group in page.groups]
        return rendered if query.fields is None else [apply_fields(item, query.fields) for item in rendered]

    def _preference(self, request: web.Request) -> Callable[[Any], Any]:
        priorities = {site.id: site.settings.priority for site in self._registry.sites()}
        return preference(priorities, request.query.get("near"))

    def _by_get(self, request: web.Request) -> SearchRequest:
        return search_from_get(
            request.query, default_limit=self._limits.default_page_items, max_limit=self._limits.page_items
        )

    def _united(self) -> list[Json]:
        told = [(site.id, each) for site in self._registry.sites() for each in site.collections or ()]
        return unite(told, base=self._base)

    def _collection(self, name: str) -> Json:
        for collection in self._united():
            if collection["id"] == name:
                return collection
        raise NotFound(f"no site tells of a collection {name!r}")

    def _scope(self, request: web.Request) -> list[Json]:
        principal_of(request)
        name = request.match_info.get("collection")
        return [self._collection(name)] if name is not None else self._united()

    def _backends(self) -> Json:
        """Tell the sites and which of them are missing (openEO federation 0.1.0)."""
        sites = self._registry.sites()
        return {
            "federation": {
                site.id: {"title": site.settings.title or site.id, "status": site.health.status} for site in sites
            },
            "federation:missing": [site.id for site in sites if site.collections is None],
        }


def _report(page: Page) -> Json:
    reports = {
        report.site: {k: v for k, v in msgspec.to_builtins(report).items() if k != "site"} for report in page.reports
    }
    return {"federation": reports, "federation:missing": page.missing}


def _checked(body: bytes) -> bytes:
    """Let no invalid UTF-8 of a site pass: raw members were never decoded."""
    if body.isascii():
        return body
    return body.decode("utf-8", "replace").encode()


def _json(content: Any, kind: str = "application/json") -> web.Response:
    response = web.Response(body=msgspec.json.encode(content))
    response.headers["Content-Type"] = kind
    return response
