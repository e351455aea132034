"""Writing into a site's catalogue: the Transaction extensions, for whoever has the write token.

STAC API Transaction 1.0.0-rc.3 (items) and Collection Transaction 1.0.0-beta.1 (create, replace and delete).
"""

import hmac
from typing import Any

from aiohttp import web

from edges.catalogues.removing import delete_collection
from edges.errors import Conflict, InvalidInput, NotFound
from edges.model import Json
from edges.seams import WritableCatalogue
from edges.site.bodies import json_response, read_body
from edges.stac.limits import decode_object
from edges.stac.links import GEOJSON_TYPE, url_of

CONFORMANCE = (
    "https://api.stacspec.org/v1.0.0/ogcapi-features/extensions/transaction",
    "https://api.stacspec.org/v1.0.0/collections/extensions/transaction",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/simpletx",
)
MAX_BODY_BYTES = 64 << 20
"""Largest item or ItemCollection that is taken, in bytes."""


class WriteRefused(Exception):
    """No valid write token came with the request."""

    status = 401
    title = "Authentication required"


class TransactionFace:
    """The writing half of a site. ``token`` is the one secret that may write."""

    def __init__(self, *, catalogue: WritableCatalogue, base: str, token: str) -> None:
        self._catalogue = catalogue
        self._base = base
        self._token = token.encode()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        items = "/collections/{collection}/items"
        return [
            web.post("/collections", self.create_collection),
            web.put("/collections/{collection}", self.replace_collection),
            web.delete("/collections/{collection}", self.delete_collection),
            web.post(items, self.create_items),
            web.put(items, self.put_items),
            web.put(f"{items}/{{item}}", self.replace_item),
            web.delete(f"{items}/{{item}}", self.delete_item),
        ]

    def _authorize(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            raise WriteRefused("writing needs the header `Authorization: Bearer <write token>`")

    async def create_collection(self, request: web.Request) -> web.Response:
        """``POST /collections``: 409 where it exists."""
        collection = await self._body(request)
        name = _text("id", collection.get("id"))
        if any(one["id"] == name for one in await self._catalogue.collections()):
            raise Conflict(f"collection {name!r} exists; replace it with PUT")
        await self._catalogue.put_collection(collection)
        return self._created(collection, "collections", name)

    async def replace_collection(self, request: web.Request) -> web.Response:
        """``PUT /collections/{collection}``: creates it where it does not exist."""
        collection, name = await self._body(request), request.match_info["collection"]
        if collection.get("id") != name:
            raise InvalidInput("id", repr(collection.get("id"))[:80], f"{name!r}, as in the address")
        await self._catalogue.put_collection(collection)
        return json_response(collection)

    async def delete_collection(self, request: web.Request) -> web.Response:
        """``DELETE /collections/{collection}``: with all its items."""
        self._authorize(request)
        name = request.match_info["collection"]
        if not await delete_collection(self._catalogue, name):
            raise NotFound(f"there is no collection {name!r}")
        return web.Response(status=204)

    async def create_items(self, request: web.Request) -> web.Response:
        """``POST /collections/{collection}/items``: an Item (409 where it exists), or an ItemCollection, whole."""
        body, home = await self._body(request), request.match_info["collection"]
        if body.get("type") == "FeatureCollection":
            features = _features(body)
            await self._refuse_existing(home, features)
            await self._catalogue.put_items(home, features)
            return web.Response(status=201)
        await self._refuse_existing(home, [body])
        await self._catalogue.put_items(home, [body])
        return self._created(body, "collections", home, "items", str(body["id"]))

    async def put_items(self, request: web.Request) -> web.Response:
        """``PUT /collections/{collection}/items``: an ItemCollection whose items are made or replaced, all or none."""
        body, home = await self._body(request), request.match_info["collection"]
        if body.get("type") != "FeatureCollection":
            raise InvalidInput("type", repr(body.get("type"))[:80], "'FeatureCollection'")
        await self._catalogue.put_items(home, _features(body))
        return web.Response(status=204)

    async def _refuse_existing(self, home: str, items: list[Json]) -> None:
        for item in items:
            name = _text("id", item.get("id"))
            if await self._catalogue.item(home, name) is not None:
                raise Conflict(f"item {name!r} exists in collection {home!r}; replace it with PUT")

    async def replace_item(self, request: web.Request) -> web.Response:
        """``PUT /collections/{collection}/items/{item}``: 404 where there is none."""
        body, home, name = await self._body(request), request.match_info["collection"], request.match_info["item"]
        if body.get("id") != name:
            raise InvalidInput("id", repr(body.get("id"))[:80], f"{name!r}, as in the address")
        if await self._catalogue.item(home, name) is None:
            raise _no_item(home, name)
        await self._catalogue.put_items(home, [body])
        return json_response(body, GEOJSON_TYPE)

    async def delete_item(self, request: web.Request) -> web.Response:
        """``DELETE /collections/{collection}/items/{item}``."""
        self._authorize(request)
        home, name = request.match_info["collection"], request.match_info["item"]
        if not await self._catalogue.delete_item(home, name):
            raise _no_item(home, name)
        return web.Response(status=204)

    async def _body(self, request: web.Request) -> Json:
        self._authorize(request)
        return decode_object("body", await read_body(request, MAX_BODY_BYTES))

    def _created(self, value: Json, *steps: str) -> web.Response:
        response = json_response(value, status=201)
        response.headers["Location"] = url_of(self._base, *steps)
        return response


def _features(body: Json) -> list[Json]:
    features = body.get("features")
    if not isinstance(features, list) or not all(isinstance(one, dict) for one in features):
        raise InvalidInput("features", "not an array of objects", "an array of STAC Items")
    return features


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, repr(value)[:80], "a string")
    return value


def _no_item(home: str, name: str) -> NotFound:
    return NotFound(f"there is no item {name!r} in collection {home!r}")
