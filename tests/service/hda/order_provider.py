"""A provider that stages data on order, over real HTTP, in the shapes that HDA gives.

A search of its collection gives exactly one item, which stands for what was asked; it is ordered by POST, and then
asked for by its id until it is there. A test says when orders move on.
"""

import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from hda_lake import collection
from served_app import served

ERA5 = "EO.ECMWF.DAT.REANALYSIS_ERA5_SINGLE_LEVELS"
SECRET = "token-of-the-gateway"
CONTENT = b"GRIB" + bytes(range(256)) * 64 + b"7777"
WORLD = {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}
_API = "https://api.stacspec.org/v1.0.0"


class OrderProvider:
    """What the provider holds, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.orders: dict[str, dict[str, Any]] = {}
        self.placed: list[Any] = []
        self.keys: list[str] = []
        self.drops = 0
        """So many orders are taken, and the connection is closed before the answer."""
        self.looks = 0
        self.at_once = False
        self.refusal = ""
        self.content = CONTENT
        self.broken = False
        self.done_after = 0
        """After how many looks an order is there; 0: when the test says so."""

    def move(self, status: str, message: str = "") -> None:
        """Let all open orders go on."""
        for order in self.orders.values():
            order |= {"status": status, "message": message}

    def routes(self) -> list[web.RouteDef]:
        one = "/stac/collections/{collection}"
        return [
            web.get("/stac", self.landing),
            web.get("/stac/collections", self.collections),
            web.get(f"{one}/queryables", self.queryables),
            web.post("/stac/search", self.search),
            web.post(f"{one}/order", self.order),
            web.get(f"{one}/items/{{item}}", self.item),
            web.delete(f"{one}/items/{{item}}", self.withdraw),
            web.get("/stac/files/{name}", self.file),
        ]

    async def landing(self, request: web.Request) -> web.Response:
        classes = [f"{_API}/core", f"{_API}/item-search", f"{_API}/item-search#filter", "cql2-json"]
        return web.json_response({"conformsTo": classes, "links": []})

    async def collections(self, request: web.Request) -> web.Response:
        return web.json_response({"collections": [collection(ERA5, title="ERA5")], "links": []})

    async def queryables(self, request: web.Request) -> web.Response:
        months = ["01", "02"] if request.query.get("ecmwf:year") == "2020" else [f"{n:02}" for n in range(1, 13)]
        return web.json_response(
            {
                "$schema": "https://json-schema.org/draft/2019-09/schema",
                "$id": str(request.url),
                "type": "object",
                "additionalProperties": False,
                "required": ["ecmwf:variable"],
                "properties": {
                    "ecmwf:variable": {"type": "array", "items": {"type": "string", "enum": ["t2m", "sst"]}},
                    "ecmwf:year": {"type": "array", "items": {"type": "string", "enum": ["2019", "2020"]}},
                    "ecmwf:month": {"type": "array", "items": {"type": "string", "enum": months}},
                    "ecmwf:data_format": {"type": "string", "enum": ["grib", "netcdf"], "default": "grib"},
                },
            }
        )

    async def search(self, request: web.Request) -> web.Response:
        body = await request.json()
        query = {name: told["eq"] for name, told in body.get("query", {}).items() if "eq" in told}
        asked = parameters_of(body.get("filter")) | query
        features = [self._orderable(asked)] if asked and not body.get("ids") else []
        if body.get("ids"):
            features = [self._order_item(name) for name in body["ids"] if name in self.orders]
        return web.json_response({"type": "FeatureCollection", "features": features, "links": []})

    async def order(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return web.json_response({"code": 401, "description": "who are you?"}, status=401)
        if self.broken:
            return web.json_response({"description": "out of order"}, status=503)
        if self.refusal:
            return web.json_response({"code": "400", "description": self.refusal}, status=400)
        body = await request.json()
        key = request.headers.get("Idempotency-Key", "")
        self.keys.append(key)
        name = next((name for name, order in self.orders.items() if key and order["key"] == key), "")
        if not name:
            self.placed.append(body)
            name = str(uuid.uuid4())
            status = "succeeded" if self.at_once else "ordered"
            self.orders[name] = {"status": status, "message": "", "asked": body, "key": key}
        if self.drops > 0 and request.transport is not None:
            self.drops -= 1
            request.transport.abort()
        return web.json_response(self._order_item(name))

    async def item(self, request: web.Request) -> web.Response:
        self.looks += 1
        if self.done_after and self.looks >= self.done_after:
            self.move("succeeded")
        name = request.match_info["item"]
        if name not in self.orders:
            return web.json_response({"code": 404, "description": "no such item"}, status=404)
        return web.json_response(self._order_item(name))

    async def withdraw(self, request: web.Request) -> web.Response:
        self.orders[request.match_info["item"]]["status"] = "canceled"
        return web.Response(status=204)

    async def file(self, request: web.Request) -> web.Response:
        headers = {"Content-Disposition": f'attachment; filename="{request.match_info["name"]}"'}
        headers["ETag"] = f'"{hashlib.sha1(self.content, usedforsecurity=False).hexdigest()}"'
        return web.Response(body=self.content, content_type="application/x-grib", headers=headers)

    def _orderable(self, asked: dict[str, Any]) -> dict[str, Any]:
        digest = hashlib.sha1(json.dumps(asked, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
        body = {name.removeprefix("ecmwf:"): value for name, value in asked.items()}
        link = {
            "rel": "retrieve",
            "method": "POST",
            "href": f"{self.url}/stac/collections/{ERA5}/order",
            "type": "application/geo+json",
            "body": body,
        }
        told = asked | {"order:status": "orderable", "storage:tier": "offline"}
        return self._item(f"REANALYSIS_ERA5_SINGLE_LEVELS_ORDERABLE_{digest}", told, [link], {})

    def _order_item(self, name: str) -> dict[str, Any]:
        order = self.orders[name]
        done = order["status"] == "succeeded"
        told = {"order:status": order["status"], "storage:tier": "online" if done else "offline"}
        if order["message"]:
            told["order:message"] = order["message"]
        whole = {"href": f"{self.url}/stac/files/{name}.grib", "type": "application/x-grib", "roles": ["data"]}
        own = {"rel": "self", "href": f"{self.url}/stac/collections/{ERA5}/items/{name}"}
        return self._item(name, told, [own], {"downloadLink": whole} if done else {})

    def _item(self, name: str, told: Any, links: Any, assets: Any) -> dict[str, Any]:
        return {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": name,
            "collection": ERA5,
            "geometry": WORLD,
            "bbox": [-180, -90, 180, 90],
            "properties": {"datetime": "2020-01-01T00:00:00Z", **told},
            "links": links,
            "assets": assets,
        }


def parameters_of(test: Any) -> dict[str, Any]:
    """Return the properties that a filter (CQL2 JSON) asks to be equal to something."""
    found: dict[str, Any] = {}
    for part in test.get("args", []) if isinstance(test, dict) else []:
        found = parameters_of(part) | found
    if isinstance(test, dict) and test.get("op") in ("=", "a_equals"):
        prop, value = test["args"]
        if str(prop.get("property")).startswith("ecmwf:"):
            found.setdefault(prop["property"], value)  # "=" stands before "a_equals", where both are said
    return found


@asynccontextmanager
async def order_provider(port: int) -> AsyncIterator[OrderProvider]:
    """Serve a provider on a port."""
    provider = OrderProvider()
    app = web.Application()
    app.add_routes(provider.routes())
    async with served(app, port=port) as provider.url:
        yield provider
