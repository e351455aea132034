"""Users' collections over HTTP: the Transaction extensions on the standard routes, and sharing.

Sources: STAC API Transaction 1.0.0-rc.3, Collection Transaction 1.0.0-beta.1, RFC 7396 (PATCH), RFC 9110 (If-Match).
"""

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from aiohttp import hdrs, web

from edges.errors import InvalidInput
from edges.model import Frozen, Json
from edges.site.bodies import json_response, read_body
from edges.stac.limits import MAX_BODY_BYTES, decode_object
from edges.stac.links import GEOJSON_TYPE, link, url_of
from edges.stac.tags import members_of, tag_of
from gateway.contributed.checks import features_of
from gateway.contributed.collections import CollectionWriting, Conditions
from gateway.contributed.items import ItemWriting
from gateway.contributed.model import Collection, Right, Sharing
from gateway.principal import Principal, user_of
from gateway.quota.charging import Charging


class NotKept(Exception):
    """The gateway keeps no collections of users."""

    status: ClassVar[int] = 501
    title: ClassVar[str] = "Users' collections are not kept here"


class _Sharing(Frozen):
    """The body of ``PUT /collections/{collection}/sharing``."""

    visibility: str
    groups: Mapping[str, Right] = {}


class Writing(Frozen):
    """What writes, where users' collections are kept. ``body_bytes`` bounds a request's body."""

    collections: CollectionWriting
    items: ItemWriting
    charging: Charging
    body_bytes: int


async def begun(request: web.Request, writing: Writing | None) -> tuple[Principal, Writing]:
    """Return who asks, and what writes; the request is charged.

    Raises:
        Unauthenticated: nobody is known.
        NotKept: there are no users' collections here.
        QuotaExceeded: too many requests.
    """
    principal = user_of(request)
    if writing is None:
        raise NotKept("this gateway keeps no collections of users; an operator sets `contributed` to have them")
    await writing.charging.request(principal)
    return principal, writing


class ContributedFace:
    """Serves what changes users' collections; ``writing`` is None where there are none. ``base`` is the public URL."""

    def __init__(self, *, writing: Writing | None, base: str) -> None:
        self._told = writing
        self._base = base

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face, but for ``POST /collections``, which is a search as well."""
        one = "/collections/{collection}"
        item = f"{one}/items/{{item}}"
        return [
            web.get("/contributed", self.mine),
            web.put(one, self.replace_collection),
            web.patch(one, self.patch_collection),
            web.delete(one, self.remove_collection),
            web.get(f"{one}/sharing", self.sharing),
            web.put(f"{one}/sharing", self.share),
            web.post(f"{one}/items", self.add_items),
            web.put(item, self.replace_item),
            web.patch(item, self.patch_item),
            web.delete(item, self.remove_item),
        ]

    async def create_collection(self, request: web.Request) -> web.Response:
        """``POST /collections`` with a Collection: 201, private; 409 where the id is taken."""
        principal, writing = await self._begun(request)
        record, document = await writing.collections.create(principal, decode_object("body", await request.read()))
        response = self._collection(record, document, status=201)
        response.headers[hdrs.LOCATION] = url_of(self._base, "collections", record.id)
        return response

    async def replace_collection(self, request: web.Request) -> web.Response:
        """``PUT /collections/{collection}``."""
        principal, writing = await self._begun(request)
        body = decode_object("body", await read_body(request, MAX_BODY_BYTES))
        changed = await writing.collections.replace(principal, _home(request), body, _conditions(request))
        return self._collection(*changed)

    async def patch_collection(self, request: web.Request) -> web.Response:
        """``PATCH /collections/{collection}``: a JSON Merge Patch."""
        principal, writing = await self._begun(request)
        patch = decode_object("body", await read_body(request, MAX_BODY_BYTES))
        changed = await writing.collections.patch(principal, _home(request), patch, _conditions(request))
        return self._collection(*changed)

    async def remove_collection(self, request: web.Request) -> web.Response:
        """``DELETE /collections/{collection}``: with all its items."""
        principal, writing = await self._begun(request)
        await writing.collections.remove(principal, _home(request), _conditions(request))
        return web.Response(status=204)

    async def mine(self, request: web.Request) -> web.Response:
        """``GET /contributed``: the collections that are one's own, or shared with one's groups."""
        principal, writing = await self._begun(request)
        told = [_sharing_of(record, principal) for record in writing.collections.mine(principal)]
        return _private(json_response({"collections": told}))

    async def sharing(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/sharing``: whose it is, and what one may do with it."""
        principal, writing = await self._begun(request)
        return _private(json_response(_sharing_of(writing.collections.sharing(principal, _home(request)), principal)))

    async def share(self, request: web.Request) -> web.Response:
        """``PUT /collections/{collection}/sharing``: ``{"visibility": "group", "groups": {"root/eo": "read"}}``."""
        principal, writing = await self._begun(request)
        wanted = _wanted(decode_object("body", await read_body(request, 1 << 16)))
        changed = await writing.collections.share(principal, _home(request), wanted)
        return _private(json_response(_sharing_of(changed, principal)))

    async def add_items(self, request: web.Request) -> web.Response:
        """``POST /collections/{collection}/items``: an Item, or an ItemCollection, whole; 409 where one exists."""
        principal, writing = await self._begun(request)
        home = _home(request)
        body = decode_object("body", await read_body(request, writing.body_bytes))
        if body.get("type") == "FeatureCollection":
            added = await writing.items.add(principal, home, features_of(body))
            return json_response({"added": len(added), "links": [self._home_link(home)]}, status=201)
        (item,) = await writing.items.add(principal, home, [body])
        response = self._item(item, tag_of(members_of(item)), status=201)
        response.headers[hdrs.LOCATION] = url_of(self._base, "collections", home, "items", str(item["id"]))
        return response

    async def replace_item(self, request: web.Request) -> web.Response:
        """``PUT /collections/{collection}/items/{item}``: 404 where there is none."""
        principal, writing = await self._begun(request)
        body = decode_object("body", await read_body(request, writing.body_bytes))
        names = _home(request), request.match_info["item"]
        return self._item(*await writing.items.replace(principal, *names, body, _conditions(request)))

    async def patch_item(self, request: web.Request) -> web.Response:
        """``PATCH /collections/{collection}/items/{item}``: a JSON Merge Patch."""
        principal, writing = await self._begun(request)
        patch = decode_object("body", await read_body(request, writing.body_bytes))
        names = _home(request), request.match_info["item"]
        return self._item(*await writing.items.patch(principal, *names, patch, _conditions(request)))

    async def remove_item(self, request: web.Request) -> web.Response:
        """``DELETE /collections/{collection}/items/{item}``."""
        principal, writing = await self._begun(request)
        await writing.items.remove(principal, _home(request), request.match_info["item"], _conditions(request))
        return web.Response(status=204)

    async def _begun(self, request: web.Request) -> tuple[Principal, Writing]:
        return await begun(request, self._told)

    def _collection(self, record: Collection, document: Json, *, status: int = 200) -> web.Response:
        own = url_of(self._base, "collections", record.id)
        links = [link("self", own), link("root", url_of(self._base)), *document["links"]]
        response = json_response(document | {"links": links}, status=status)
        response.headers[hdrs.ETAG] = record.tag
        return _private(response)

    def _item(self, item: Json, tag: str, *, status: int = 200) -> web.Response:
        home, name = str(item["collection"]), str(item["id"])
        own = url_of(self._base, "collections", home, "items", name)
        links = [link("self", own, GEOJSON_TYPE), self._home_link(home), *item["links"]]
        response = json_response(item | {"links": links}, GEOJSON_TYPE, status=status)
        response.headers[hdrs.ETAG] = tag
        return _private(response)

    def _home_link(self, home: str) -> Json:
        return link("collection", url_of(self._base, "collections", home))


def _home(request: web.Request) -> str:
    return request.match_info["collection"]


def _conditions(request: web.Request) -> Conditions:
    return Conditions(match=request.headers.get(hdrs.IF_MATCH), none_match=request.headers.get(hdrs.IF_NONE_MATCH))


def _wanted(body: Json) -> Sharing:
    try:
        told = msgspec.convert(body, _Sharing)
    except msgspec.ValidationError as error:
        raise InvalidInput("body", str(error), '`visibility`, and `groups` with "read" or "write"') from error
    if told.visibility not in ("private", "group", "public"):
        raise InvalidInput("visibility", repr(told.visibility)[:40], "private, group or public")
    if told.visibility == "private" and told.groups:
        raise InvalidInput("groups", "there are some", "none where visibility is private")
    if told.visibility == "group" and not told.groups:
        raise InvalidInput("groups", "there are none", 'at least one, as {"root/eo": "read"}')
    return Sharing(public=told.visibility == "public", groups=told.groups)


def _sharing_of(record: Collection, principal: Principal) -> Json:
    """Tell a collection's record; whom it is shared with is told to who may share it."""
    told: Json = {
        "collection": record.id,
        "owner": record.owner,
        "visibility": record.sharing.visibility,
        "you_may": ["read", *(["write"] if record.writable(principal) else [])],
        "items": record.items,
    }
    if record.owned(principal) or principal.admin:
        told |= {"groups": dict(record.sharing.groups), "bytes": record.bytes, "charged": record.charge}
    return told


def _private(response: web.Response) -> web.Response:
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response
