"""Items over HTTP: Item Search, and Features of one collection, of the whole lake or of one site's catalogue."""

from typing import Any

import msgspec
from aiohttp import hdrs, web

from edges.errors import NotFound
from edges.model import Json, Members, Query
from edges.registry import Registry
from edges.stac import documents
from edges.stac.fields import apply_fields
from edges.stac.links import GEOJSON_TYPE, next_by_get, next_by_post
from edges.stac.request import SearchRequest, parse_dedup, parse_flag, search_from_get, search_from_post
from edges.stac.tags import tag_of
from gateway.answers import json_only, only_utf8
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.federation import Federation
from gateway.search.merge import Row
from gateway.search.page import Page, told_of_sites
from gateway.search.render import Preference, render_item
from gateway.search.showing import Showing
from gateway.sending import LargeAnswer
from gateway.settings import LimitSettings
from gateway.stac.demand import demand_of
from gateway.stac.harmonised import Harmonised
from gateway.stac.own_collections import OwnCollections
from gateway.stac.scope import Scope
from quotas.model import Line

_LONGEST_LINK = 2_000
"""Longest next link that is also told in a header, in characters: proxies bound their lines."""


class SearchFace:
    """Serves items and searches; the principal is charged for requests and items."""

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        charging: Charging,
        limits: LimitSettings,
        harmonised: Harmonised,
        own: OwnCollections,
    ) -> None:
        self._federation = federation
        self._showing = Showing(registry)
        self._charging = charging
        self._limits = limits
        self._harmonised = harmonised
        self._own = own

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the whole lake and of one site's catalogue."""
        return [
            route
            for root in ("", "/catalogs/{catalogue}")
            for route in (
                web.get(f"{root}/search", json_only(self.search_by_get)),
                web.post(f"{root}/search", json_only(self.search_by_post)),
                web.get(f"{root}/collections/{{collection}}/items", json_only(self.items)),
                web.get(f"{root}/collections/{{collection}}/items/{{item}}", json_only(self.item)),
            )
        ]

    async def item(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/items/{item}``: one item with all its copies."""
        principal = principal_of(request)
        scope = self._scope(request)
        collection, item_id = request.match_info["collection"], request.match_info["item"]
        async with self._charging.request(principal, [Line(resource="requests", amount=1)]):
            told = parse_flag(request.query, "provenance")
            level = parse_dedup(request.query.get("dedup") or self._limits.default_dedup)
            group = await self._federation.item(
                collection, item_id, sites=scope.sites, provenance=told, dedup=level, sight=scope.sight
            )
        if not group:
            raise NotFound(f"no site has an item {item_id!r} in collection {collection!r}")
        prefer = self._showing.prefer(request.query.get("near"))
        item = self._showing.one(render_item(group, base=scope.url(), prefer=prefer), group)
        response = web.Response(body=only_utf8(msgspec.json.encode(item)), content_type=GEOJSON_TYPE)
        if self._own.tag(collection) is not None:  # it can be changed: If-Match wants to know what was read
            response.headers[hdrs.ETAG] = tag_of(group[0].item)
            response.headers[hdrs.CACHE_CONTROL] = "private, no-cache"
        return response

    async def items(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/items`` (OGC API Features, with the search parameters)."""
        principal_of(request)
        scope = self._scope(request)
        collection = request.match_info["collection"]
        self._harmonised.collection(scope, collection)
        search = self._by_get(request)
        query = msgspec.structs.replace(search.query, collections=(collection,))
        return await self._answer(
            request,
            msgspec.structs.replace(search, query=query),
            scope=scope,
            own=scope.url("collections", collection, "items"),
            members=None,
        )

    async def search_by_get(self, request: web.Request) -> web.Response:
        """``GET /search``."""
        scope = self._scope(request)
        return await self._answer(request, self._by_get(request), scope=scope, own=scope.url("search"), members=None)

    async def search_by_post(self, request: web.Request) -> web.Response:
        """``POST /search``."""
        scope = self._scope(request)
        body = await request.read()
        search = search_from_post(
            body,
            default_limit=self._limits.default_page_items,
            max_limit=self._limits.page_items,
            default_dedup=self._limits.default_dedup,
        )
        members: Json = msgspec.json.decode(body) if body.strip() else {}
        return await self._answer(request, search, scope=scope, own=scope.url("search"), members=members)

    async def _answer(
        self, request: web.Request, search: SearchRequest, *, scope: Scope, own: str, members: Json | None
    ) -> web.Response:
        """Search and answer; ``members`` is the body of a POST, None for a GET."""
        principal = principal_of(request)
        demand = demand_of(members or {}, request.query)
        query = msgspec.structs.replace(search.query, sites=scope.sites)
        lines = [Line(resource="requests", amount=1), Line(resource="items", amount=query.limit)]
        async with self._charging.request(principal, lines) as spending:
            page = await self._federation.search(
                query,
                user=principal.user,
                token=search.token,
                strict=demand.strict,
                require=demand.require,
                sight=scope.sight,
            )
            spending.actual("items", len(page.groups))
        items = self._rendered(page, query, request, scope)
        link = None
        if page.next is not None:
            link = _next(own, request, page.next) if members is None else next_by_post(own, members, page.next)
        links = documents.page_links(scope.base, own, link)
        body = self._showing.page(items, page, links=links, told=told_of_sites(page, scope.site))
        response = LargeAnswer(body=only_utf8(body), content_type=GEOJSON_TYPE)
        if link is not None and members is None and len(link["href"]) <= _LONGEST_LINK:
            response.headers[hdrs.LINK] = f'<{link["href"]}>; rel="next"; type="{GEOJSON_TYPE}"'
        if page.missing:
            response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response

    def _rendered(self, page: Page, query: Query, request: web.Request, scope: Scope) -> list[Members]:
        prefer, base = _Preferring(self._showing, request.query.get("near")), scope.url()
        rendered = [render_item(group, base=base, prefer=prefer) for group in page.groups]
        return rendered if query.fields is None else [apply_fields(item, query.fields) for item in rendered]

    def _by_get(self, request: web.Request) -> SearchRequest:
        return search_from_get(
            request.query,
            default_limit=self._limits.default_page_items,
            max_limit=self._limits.page_items,
            default_dedup=self._limits.default_dedup,
        )

    def _scope(self, request: web.Request) -> Scope:
        return self._harmonised.scope(request.match_info.get("catalogue"), principal_of(request))


class _Preferring:
    """Orders copies as they are preferred now; where nothing has any, nobody asks how the sites are."""

    def __init__(self, showing: Showing, near: str | None) -> None:
        self._showing = showing
        self._near = near
        self._order: Preference | None = None

    def __call__(self, row: Row) -> Any:
        if self._order is None:
            self._order = self._showing.prefer(self._near)
        return self._order(row)


def _next(own: str, request: web.Request, token: str) -> Json:
    return next_by_get(own, list(request.query.items()), token)
