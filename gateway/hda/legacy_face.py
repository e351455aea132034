"""Downloads as version 1 asked for them: by an address of the item, with an answer to come again where it is staged.

What is online is redirected to its download. What has to be staged is ordered, and the answer (202) tells under which
address to ask again.
"""

from urllib.parse import unquote, urlencode

import msgspec
from aiohttp import web

from edges.errors import InvalidInput, NotFound
from edges.model import Json
from edges.stac.limits import decode_object
from edges.stac.links import url_of
from gateway.hda.items import WHOLE
from gateway.hda.order_bodies import BACKENDS
from gateway.hda.order_face import OrderFace
from gateway.hda.order_items import ORDER_ID
from gateway.hda.search_face import SearchFace
from gateway.principal import user_of

ROUTE = "/stac/collections/{collection}/items/{item}/download"
PENDING = "Product is not available yet, please try again using given updated location"


class LegacyFace:
    """Serves downloads of version 1. ``base`` is the gateway's address."""

    def __init__(self, *, search: SearchFace, orders: OrderFace, base: str) -> None:
        self._search = search
        self._orders = orders
        self._base = base

    def routes(self) -> list[web.RouteDef]:
        """Return the one route."""
        return [web.get(ROUTE, self.download)]

    async def download(self, request: web.Request) -> web.Response:
        """``GET /stac/collections/{collection}/items/{item}/download``."""
        principal = user_of(request)
        collection, item_id = request.match_info["collection"], request.match_info["item"]
        provider = request.query.get("provider", "")
        is_order = ORDER_ID.fullmatch(item_id) is not None
        item = await self._orders.item(principal, collection, item_id) if is_order else None
        if item is None:
            asked = _parameters(request)
            if asked is None:
                item = await self._search.found(request, collection, item_id, [provider] if provider else [])
                asked = _retrieve_body(item)
            if asked is not None:
                named: Json = {BACKENDS: [provider]} if provider else {}
                item = await self._orders.given(principal, collection, asked | named)
        if item is None:
            raise NotFound(f"Could not find any item in {collection} collection for backend {provider or None}.")
        return self._answer(item, collection, provider)

    def _answer(self, item: Json, collection: str, provider: str) -> web.Response:
        status = item["properties"]["order:status"]
        whole = msgspec.json.decode(msgspec.json.encode(item["assets"])).get(WHOLE)  # of an order they are still bytes
        if whole is not None:
            return web.Response(status=307, headers={"Location": whole["href"], "Cache-Control": "no-store"})
        if status in ("failed", "canceled"):
            raise NotFound(f"the order has {status}: {item['properties'].get('order:message', 'no reason was told')}")
        again = url_of(self._base, "stac", "collections", collection, "items", item["id"], "download")
        told = {
            "description": PENDING,
            "status": "accepted",
            "location": f"{again}?{urlencode({'provider': provider})}" if provider else again,
        }
        return web.json_response(told, status=202, headers={"Cache-Control": "no-store", "Retry-After": "1"})


def _parameters(request: web.Request) -> Json | None:
    """Return the parameters of an order that the address holds (``_dc_qs``: JSON, encoded twice); None without."""
    given = request.query.get("_dc_qs", "")
    if not given:
        return None
    asked = decode_object("_dc_qs", unquote(given).replace("+", " ") if given.startswith("%") else given)
    if not asked:
        raise InvalidInput("_dc_qs", "no parameters", 'JSON such as {"year": ["2020"]}')
    return asked


def _retrieve_body(item: Json) -> Json | None:
    link = next((each for each in item["links"] if each["rel"] == "retrieve"), None)
    body = link["body"] if link is not None else None
    return msgspec.convert(body, Json) if body is not None else None
