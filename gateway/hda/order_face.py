"""Orders over HTTP: given at a collection, found as items, listed and withdrawn."""

from collections.abc import Iterable

import msgspec
from aiohttp import web

from edges.errors import InvalidInput, NotFound
from edges.model import Json, Members
from edges.stac.links import GEOJSON_TYPE, link, url_of
from gateway.answers import json_only, only_utf8
from gateway.bodies import read_object
from gateway.hda.catalogue_face import ROOTS
from gateway.hda.collections import HdaSeen
from gateway.hda.order_bodies import NOTIFY, OrderAsked, order_asked
from gateway.hda.order_items import ORDER_ID, order_item, staged_members
from gateway.hda.requests import sites_of
from gateway.hda.world import HdaWorld
from gateway.orders.model import Notify, Order, Staging
from gateway.orders.orders import Orders, Wanted
from gateway.orders.polling import Polling
from gateway.principal import Principal, user_of
from gateway.quota.charging import ONE_REQUEST
from gateway.search.access import Access
from gateway.webhook_inputs import callback_url, refuse_unknown
from quotas.model import Line

_RIGHT = 'an object such as {"variable": ["2m_temperature"], "year": ["2020"]}'
_MOST_TOLD = 10


class OrderFace:
    """Serves orders. ``callback_hosts`` may be told of them."""

    def __init__(
        self, *, orders: Orders, polling: Polling, access: Access, callback_hosts: Iterable[str], world: HdaWorld
    ) -> None:
        self._orders = orders
        self._polling = polling
        self._access = access
        self._hosts = tuple(callback_hosts)
        self._charging = world.charging
        self._collections = world.collections
        self._sites = world.naming.sites
        self._view = world.view

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of both roots."""
        return [
            route
            for root in ROOTS
            for route in (
                web.post(f"{root}/collections/{{collection}}/order", json_only(self.order)),
                web.delete(f"{root}/collections/{{collection}}/items/{{item}}", self.withdraw),
                web.get(f"{root}/orders", json_only(self.all)),
                web.get(f"{root}/orders/{{order}}", json_only(self.one)),
                web.delete(f"{root}/orders/{{order}}", self.withdraw),
            )
        ]

    async def order(self, request: web.Request) -> web.Response:
        """``POST /stac/v2/collections/{collection}/order``: 200 with the order as an item."""
        principal = user_of(request)
        body = await read_object(request, right=_RIGHT)
        item = await self.given(principal, request.match_info["collection"], body)
        return _answer(item)

    async def given(self, principal: Principal, collection: str, body: Json) -> Json:
        """Give an order of a collection; return it as an item.

        Raises:
            NotFound: there is no such collection, or nobody stages it.
            OrderRefused: the provider does not take it.
            DataRefused: a role is missing for its data.
        """
        seen = self._collections.seen_by(principal)
        seen.one(collection)
        asked = order_asked(body)
        site = self._site(seen, collection, asked)
        self._access.check_data(principal, site, collection)
        wanted = Wanted(site=site, collection=collection, parameters=asked.parameters, notify=self._notify(asked))
        lines = [*ONE_REQUEST, Line(resource="data_orders", amount=1)]
        async with self._charging.request(principal, lines) as spending:
            order, staging, is_new = await self._orders.place(principal, wanted)
            if not is_new:
                spending.actual("data_orders", 0)
        if is_new and staging.status != "ordered":
            await self._polling.told(staging)
        return order_item(order, staging, self._view)

    async def one(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/orders/{order}``."""
        return _answer(order_item(*await self._found(request, user_of(request)), self._view))

    async def all(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/orders``: the orders of who asks, the latest first."""
        found = [order_item(*each, self._view) for each in self._orders.of(user_of(request))]
        own = url_of(self._view.base, "orders")
        page = {
            "type": "FeatureCollection",
            "features": found,
            "links": [link("self", own, GEOJSON_TYPE), link("root", url_of(self._view.base))],
            "numberMatched": len(found),
            "numberReturned": len(found),
        }
        return web.Response(body=msgspec.json.encode(page), content_type=GEOJSON_TYPE)

    async def withdraw(self, request: web.Request) -> web.Response:
        """``DELETE`` of an order: where nobody else waits for the same data, the provider is told."""
        principal = user_of(request)
        order, _ = await self._found(request, principal)
        return _answer(order_item(*await self._orders.withdraw(principal, order.id), self._view))

    async def item(self, principal: Principal, collection: str, item_id: str) -> Json | None:
        """Return an order as the item of a collection; None where the principal has no such order."""
        try:
            order, staging = await self._orders.find(principal, item_id)
        except NotFound:
            return None
        return order_item(order, staging, self._view) if order.collection == collection else None

    async def _found(self, request: web.Request, principal: Principal) -> tuple[Order, Staging]:
        order_id = request.match_info.get("order") or request.match_info["item"]
        order, staging = await self._orders.find(principal, order_id)
        if request.match_info.get("collection", order.collection) != order.collection:
            raise NotFound(f"no order {order_id!r} of this collection")
        return order, staging

    def _site(self, seen: HdaSeen, collection: str, asked: OrderAsked) -> str:
        """Return where an order goes: to the backend that it names, else to the first that takes orders."""
        among = sites_of(asked.backends, self._sites) if asked.backends else None
        found = [site for site in seen.holders(collection, among) if site in self._orders.sites]
        if not found:
            raise NotFound(f"No backend takes orders of {collection}.")
        return found[0]

    def _notify(self, asked: OrderAsked) -> tuple[Notify, ...]:
        given = asked.notify if isinstance(asked.notify, list) else [asked.notify] if asked.notify else []
        if len(given) > _MOST_TOLD:
            raise InvalidInput(NOTIFY, f"{len(given)} of them", f"at most {_MOST_TOLD}")
        return tuple(self._one_to_tell(each) for each in given)

    def _one_to_tell(self, given: object) -> Notify:
        told = {"url": given} if isinstance(given, str) else given
        if not isinstance(told, dict):
            raise InvalidInput(NOTIFY, f"got {given!r}"[:80], '{"url": "https://..."}')
        refuse_unknown(told, ("url", "secret"), f"{NOTIFY}.")
        url = callback_url(told.get("url"), self._hosts, f"{NOTIFY}.url")
        return Notify(url=url, secret=str(told.get("secret", ""))[:200])


def _answer(item: Json) -> web.Response:
    body = only_utf8(msgspec.json.encode(item))
    return web.Response(body=body, content_type=GEOJSON_TYPE, headers={"Cache-Control": "no-store"})


class StagedItems:
    """What was staged, for downloads: under the name of an order, for whose order it is."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def item(self, principal: Principal, *, site: str, collection: str, item: str) -> Members | None:
        """Return what was staged for an order of the principal's; None where there is no such order, or not yet."""
        if ORDER_ID.fullmatch(item) is None:
            return None
        try:
            order, staging = await self._orders.find(principal, item)
        except NotFound:
            return None
        return staged_members(order, staging) if (order.site, order.collection) == (site, collection) else None
