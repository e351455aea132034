"""Items as HDA serves them: search in all forms of its clients, items of a collection, one item by its id."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web

from edges.errors import NotFound
from edges.model import Bytes, Json, Members, Query
from edges.registry import Registry
from edges.stac.fields import apply_fields
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, link, next_by_get, url_of
from gateway.answers import json_only, only_utf8
from gateway.hda.catalogue_face import ROOTS
from gateway.hda.items import View, render
from gateway.hda.order_items import ORDER_ID
from gateway.hda.requests import HdaSearch, Terms, following, search_of_get, search_of_post, sites_of, with_sites
from gateway.hda.world import HdaWorld
from gateway.principal import Principal, principal_of
from gateway.search.federation import Federation
from gateway.search.page import Page, told_of_sites
from gateway.search.showing import Showing
from quotas.model import Line

_ITEM = msgspec.json.Decoder(Json)


class SearchFace:
    """Serves searches and items. ``order_item`` gives orders as items of their collections."""

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        terms: Terms,
        order_item: Callable[[Principal, str, str], Awaitable[Json | None]],
        world: HdaWorld,
    ) -> None:
        self._federation = federation
        self._showing = Showing(registry)
        self._terms = terms
        self._order_item = order_item
        self._charging = world.charging
        self._collections = world.collections
        self._view = world.view
        self._base = world.view.base

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of both roots."""
        return [
            route
            for root in ROOTS
            for route in (
                web.get(f"{root}/search", json_only(self.by_get)),
                web.post(f"{root}/search", json_only(self.by_post)),
                web.get(f"{root}/collections/{{collection}}/items", json_only(self.items)),
                web.get(f"{root}/collections/{{collection}}/items/{{item}}", json_only(self.item)),
            )
        ]

    async def by_post(self, request: web.Request) -> web.Response:
        """``POST /stac/v2/search``."""
        principal = principal_of(request)
        asked = search_of_post(await request.read(), self._terms)
        own = url_of(self._base, "search")
        page = await self._found(principal, asked)

        def next_link(token: str) -> Json:
            body = following(asked.members, token, asked.search.query.sites)
            return link("next", own, GEOJSON_TYPE, "Next page") | {"method": "POST", "body": body}

        return self._answer(request, page, asked.search.query, own, next_link)

    async def by_get(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/search``."""
        return await self._got(request, url_of(self._base, "search"))

    async def items(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/collections/{collection}/items``."""
        name = request.match_info["collection"]
        self._collections.seen_by(principal_of(request)).one(name)
        return await self._got(request, url_of(self._base, "collections", name, "items"), name)

    async def _got(self, request: web.Request, own: str, collection: str | None = None) -> web.Response:
        principal = principal_of(request)
        asked = search_of_get(request.query, self._terms)
        if collection is not None:
            query = msgspec.structs.replace(asked.search.query, collections=(collection,))
            search = msgspec.structs.replace(asked.search, query=query)
            asked = msgspec.structs.replace(asked, search=search)
        page = await self._found(principal, asked)

        def next_link(token: str) -> Json:
            kept = [(name, value) for name, value in request.query.items() if name != "page"]
            return next_by_get(own, kept, with_sites(token, asked.search.query.sites))

        return self._answer(request, page, asked.search.query, own, next_link)

    async def item(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/collections/{collection}/items/{item}``, also of an order of one's own."""
        principal = principal_of(request)
        collection, item_id = request.match_info["collection"], request.match_info["item"]
        order = await self._order_item(principal, collection, item_id) if ORDER_ID.fullmatch(item_id) else None
        if order is not None:
            await self._charging.request(principal)
            headers = {"Cache-Control": "no-store"}
            return web.Response(body=msgspec.json.encode(order), content_type=GEOJSON_TYPE, headers=headers)
        pins = [name for key in ("provider", "federation:backends") for name in request.query.getall(key, [])]
        body = await self._one(request, collection, item_id, pins)
        return web.Response(body=body, content_type=GEOJSON_TYPE)

    async def found(self, request: web.Request, collection: str, item_id: str, pins: Sequence[str]) -> Json:
        """Return one item as it is served; ``pins`` are the backends that may be asked, all if there are none.

        Raises:
            NotFound: none of them has it.
        """
        return _ITEM.decode(await self._one(request, collection, item_id, pins))

    async def _one(self, request: web.Request, collection: str, item_id: str, pins: Sequence[str]) -> Bytes:
        principal = principal_of(request)
        sites = sites_of(pins, self._terms.sites) if pins else None
        async with self._charging.request(principal):
            sight = self._federation.sight(principal)
            group = await self._federation.item(collection, item_id, sites=sites, sight=sight)
        if not group:
            backend = ", ".join(pins) or None
            raise NotFound(f"Could not find any item in {collection} collection for backend {backend}.")
        item = self._showing.one(render(group, self.view(request)), group)
        return only_utf8(msgspec.json.encode(item))

    def view(self, request: web.Request) -> View:
        """Return what a request's items are seen through."""
        return msgspec.structs.replace(
            self._view,
            titles=self._collections.seen_by(principal_of(request)).title,
            prefer=self._showing.prefer(request.query.get("near")),
            legacy=not request.path.startswith(ROOTS[0]),
        )

    async def _found(self, principal: Principal, asked: HdaSearch) -> Page:
        """Search; where a page is asked by its number, go there first."""
        query, sight = asked.search.query, self._federation.sight(principal)
        lines = [Line(resource="requests", amount=1), Line(resource="items", amount=query.limit)]
        async with self._charging.request(principal, lines) as spending:
            token, left = asked.search.token, (asked.page - 1) * query.limit
            while left > 0:
                stride = msgspec.structs.replace(query, limit=min(left, self._terms.max_limit))
                before = await self._federation.search(stride, user=principal.user, token=token, sight=sight)
                token, left = before.next, left - stride.limit
                if token is None:
                    spending.actual("items", 0)
                    return msgspec.structs.replace(before, groups=[], next=None)
            page = await self._federation.search(query, user=principal.user, token=token, sight=sight)
            spending.actual("items", len(page.groups))
        return page

    def _answer(
        self, request: web.Request, page: Page, query: Query, own: str, next_link: Callable[[str], Json]
    ) -> web.Response:
        view = self.view(request)
        items: list[Members] = [render(group, view) for group in page.groups]
        if query.fields is not None:
            items = [apply_fields(item, query.fields) for item in items]
        links = [link("self", own, JSON_TYPE, "Current Page"), link("root", url_of(self._base))]
        if page.next is not None:
            links.append(next_link(page.next))
        body = self._showing.page(items, page, links=links, told=told_of_sites(page))
        response = web.Response(body=only_utf8(body), content_type=GEOJSON_TYPE)
        if page.missing:
            response.headers["Cache-Control"] = "no-store"
        return response
