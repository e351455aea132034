"""``/odata/v1``: HOOK's OData interface. Orders are their user's own.

Clients write paths such as ``BatchOrder(5)/Products``, send bodies without a Content-Type, and filters with spaces.
"""

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from edges.model import Json
from gateway.bodies import read_object
from gateway.hook import documents
from gateway.hook.desk import Desk
from gateway.hook.downloads import Downloads, NothingThere
from gateway.hook.inputs import Terms, Wish, batch_wish, production_wish
from gateway.hook.links import STORAGE, LinkRefused, Links
from gateway.hook.model import HookOrder, Product
from gateway.hook.odata import options_of, page
from gateway.hook.workflows import WORKFLOW_NAMES, workflows
from gateway.principal import Principal, principal_of, user_of

ROOT = "/odata/v1"
_KEY = r"({order:(?:[Ii][Dd]=)?'?\d{1,15}'?})"
_ITEM = r"({product:(?:[Ii][Dd]=)?'?\d{1,15}'?})"
_NAME = r"{name:\d{8}_\d{1,15}_[A-Za-z0-9-]{8}\.zip}"
_RIGHT = '{"WorkflowName": "data-harvest", "IdentifierList": [...], "WorkflowOptions": [...]}'


class HookFace:
    """Serves HOOK. ``terms`` are what orders are read by; the buckets in them are those of all groups."""

    def __init__(
        self,
        *,
        desk: Desk,
        downloads: Downloads,
        links: Links,
        terms: Terms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._desk = desk
        self._downloads = downloads
        self._links = links
        self._terms = terms
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        read: list[tuple[str, Handler]] = [
            ("Workflows", self._workflows),
            ("BatchOrder", self._batch_orders),
            ("BatchOrders", self._batch_orders),
            (f"BatchOrder{_KEY}", self._batch_order),
            (f"BatchOrders{_KEY}", self._batch_order),
            (f"BatchOrder{_KEY}/Products", self._products),
            (f"BatchOrder{_KEY}/Product{_ITEM}", self._product),
            (f"BatchOrder{_KEY}/Product{_ITEM}/$value", self._value),
            ("ProductionOrder", self._production_orders),
            ("ProductionOrders", self._production_orders),
            (f"ProductionOrder{_KEY}", self._production_order),
            (f"ProductionOrders{_KEY}", self._production_order),
            (f"ProductionOrder{_KEY}/Product", self._product),
            (f"ProductionOrder{_KEY}/Product/$value", self._value),
        ]
        done: list[tuple[str, Handler]] = [
            ("BatchOrder/OData.CSC.Order", self._order_batch),
            ("BatchOrder/OData.CSC.EstimateCost", self._estimate_batch),
            (f"BatchOrder{_KEY}/OData.CSC.Cancel", self._cancel_batch),
            ("ProductionOrder/OData.CSC.Order", self._order_production),
            ("ProductionOrder/OData.CSC.EstimateCost", self._estimate_production),
            (f"ProductionOrder{_KEY}/OData.CSC.Cancel", self._cancel_production),
            (f"ProductionOrders{_KEY}/OData.CSC.Cancel", self._cancel_production),
        ]
        return [
            *(web.get(f"{ROOT}/{path}", handler) for path, handler in read),
            *(web.post(f"{ROOT}/{path}", handler) for path, handler in done),
            web.get(f"{STORAGE}/{{order:[0-9]{{1,15}}}}/{_NAME}", self._archive),
        ]

    # -- workflows -------------------------------------------------------------------------------------------

    async def _workflows(self, request: web.Request) -> web.Response:
        principal_of(request)
        options = options_of(request.query, WORKFLOW_NAMES, expandable=("WorkflowOptions",))
        entries = workflows(options=bool(options.expand))
        return self._page(request, entries, WORKFLOW_NAMES, documents.WORKFLOWS)

    # -- orders ----------------------------------------------------------------------------------------------

    async def _batch_orders(self, request: web.Request) -> web.Response:
        orders = [await self._desk.fresh(each) for each in self._desk.orders_of(user_of(request))]
        entries = [documents.batch_document(each) for each in orders]
        return self._page(request, entries, documents.BATCH_NAMES, documents.BATCH_ORDER)

    async def _production_orders(self, request: web.Request) -> web.Response:
        orders = [await self._desk.fresh(each) for each in self._desk.orders_of(user_of(request))]
        entries = [documents.production_document(each) for each in orders]
        return self._page(request, entries, documents.PRODUCTION_NAMES, documents.PRODUCTION_ORDERS)

    async def _batch_order(self, request: web.Request) -> web.Response:
        order = await self._desk.fresh(await self._named(request))
        return _one(documents.BATCH_ORDER, documents.batch_document(order))

    async def _production_order(self, request: web.Request) -> web.Response:
        order = await self._desk.fresh(await self._named(request))
        return _one(documents.PRODUCTION_ORDERS, documents.production_document(order))

    async def _order_batch(self, request: web.Request) -> web.Response:
        order = await self._ordered(request, batch_wish)
        headers = {str(hdrs.LOCATION): f"{self._terms.base}{ROOT}/BatchOrder({order.id})"}
        return _one(documents.BATCH_ORDER, documents.batch_document(order), status=201, headers=headers)

    async def _order_production(self, request: web.Request) -> web.Response:
        order = await self._ordered(request, production_wish)
        headers = {str(hdrs.LOCATION): f"{self._terms.base}{ROOT}/ProductionOrders({order.id})"}
        return _one(documents.PRODUCTION_ORDER, documents.production_document(order), status=201, headers=headers)

    async def _ordered(self, request: web.Request, read: Callable[[Json, Terms], Wish]) -> HookOrder:
        principal = user_of(request)
        return await self._desk.take(await self._wish(request, principal, read), principal)

    async def _wish(self, request: web.Request, principal: Principal, read: Callable[[Json, Terms], Wish]) -> Wish:
        """Read a wish; of the buckets that groups have set up, only those open to who pays can be meant."""
        open_to = tuple(
            each for each in self._terms.buckets if f"{principal.charging_group}/".startswith(f"{each.group}/")
        )
        terms = msgspec.structs.replace(self._terms, buckets=open_to)
        return read(await read_object(request, right=_RIGHT), terms)

    async def _estimate_batch(self, request: web.Request) -> web.Response:
        return await self._estimated(request, batch_wish)

    async def _estimate_production(self, request: web.Request) -> web.Response:
        return await self._estimated(request, production_wish)

    async def _estimated(self, request: web.Request, read: Callable[[Json, Terms], Wish]) -> web.Response:
        """Tell what an order would cost: ``tokens`` are products, of the quota of orders."""
        principal = user_of(request)
        wish = await self._wish(request, principal, read)
        estimates = await self._desk.estimate(wish, principal)
        return _json(documents.estimate_document(estimates))

    async def _cancel_batch(self, request: web.Request) -> web.Response:
        order = await self._desk.cancel(await self._named(request))
        return _one(documents.BATCH_ORDER, documents.batch_document(order))

    async def _cancel_production(self, request: web.Request) -> web.Response:
        order = await self._desk.cancel(await self._named(request))
        return _one(documents.PRODUCTION_ORDER, documents.production_document(order))

    async def _named(self, request: web.Request) -> HookOrder:
        """Return the order that a path names, if it is this user's."""
        return await self._desk.order(_number(request, "order"), user_of(request))

    # -- products --------------------------------------------------------------------------------------------

    async def _products(self, request: web.Request) -> web.Response:
        order = await self._desk.fresh(await self._named(request))
        now = self._clock()
        entries = [
            documents.product_document(order, each, self._links.link(order, each, now)) for each in order.products
        ]
        return self._page(request, entries, documents.PRODUCT_NAMES, documents.PRODUCTS)

    async def _product(self, request: web.Request) -> web.Response:
        order = await self._desk.fresh(await self._named(request))
        product = _product_of(order, request)
        link = self._links.link(order, product, self._clock())
        return _one(documents.PRODUCTS, documents.product_document(order, product, link))

    async def _value(self, request: web.Request) -> web.Response:
        """Lead to a product's archive."""
        order = await self._desk.fresh(await self._named(request))
        product = _product_of(order, request)
        link = self._links.link(order, product, self._clock())
        if link is None:
            raise NothingThere(documents.absence(order, product))
        headers = {str(hdrs.LOCATION): link, str(hdrs.CACHE_CONTROL): "no-store"}
        return web.Response(status=302, headers=headers)

    async def _archive(self, request: web.Request) -> web.StreamResponse:
        """Send an archive to whoever has the link to it."""
        query = request.query
        signature, expires = query.get("temp_url_sig", ""), query.get("temp_url_expires", "")
        self._links.check(request.path, signature, expires, self._clock())
        order = await self._desk.linked_order(_number(request, "order"))
        name = request.match_info["name"]
        product = next((each for each in order.products if self._links.name(order, each) == name), None)
        if product is None:
            raise LinkRefused("this link leads nowhere")
        return await self._downloads.send(request, order, product, name)

    def _page(self, request: web.Request, entries: list[Json], names: tuple[str, ...], context: str) -> web.Response:
        expandable = ("WorkflowOptions",)
        query: Mapping[str, str] = request.query
        options = options_of(query, names, expandable=expandable)
        url = f"{self._terms.base}{urlsplit(request.path).path}"
        return _json(page(entries, options, context=context, url=url, query=query))


def _product_of(order: HookOrder, request: web.Request) -> Product:
    """Return the product that a path names, or the order's first where it names none."""
    if "product" not in request.match_info:
        return order.products[0]
    number = _number(request, "product")
    for product in order.products:
        if product.number == number:
            return product
    raise NoSuchProduct(f"order {order.id} has no product {number}")


class NoSuchProduct(Exception):
    """The order has no such product."""

    status = 404
    title = "No such product"


def _number(request: web.Request, name: str) -> int:
    """Return the number that a key is: ``5``, ``'5'`` or ``Id=5``."""
    return int(request.match_info[name].rpartition("=")[2].strip("'"))


def _one(context: str, entry: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return _json({"@odata.context": context, "value": entry}, status=status, headers=headers)


def _json(content: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(content)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
