"""Items as clients of HDA read them. Pure; once for each item given.

Every item tells ``order:status`` and ``storage:tier``, one backend, and where its bytes are had through the gateway,
the provider's own address beside it (``alternate.origin``). The rest stays the site's bytes.
"""

import functools
import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from edges.kept import kept
from edges.model import Json, Members
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, link, url_of
from gateway.data.hrefs import download_href
from gateway.hda.order_bodies import PREFIX, order_body
from gateway.search.alternates import ALTERNATE_EXTENSION
from gateway.search.availability import Availability, availability
from gateway.search.merge import Group
from gateway.search.render import Preference, merged_copies, sort_out
from gateway.search.rewriting import SAFE_SCHEMES

WHOLE = "downloadLink"
"""The key of the asset that is the whole product."""
ORDER_EXTENSION = "https://stac-extensions.github.io/order/v1.1.0/schema.json"
PLACEHOLDER = "_ORDERABLE_"
"""What ids of items have that stand for an order which can be given."""
OCTETS = "application/octet-stream"

_TELLS: Mapping[Availability, tuple[str, str]] = {
    "online": ("succeeded", "online"),
    "orderable": ("orderable", "offline"),
    "ordered": ("shipping", "offline"),
}
"""``order:status`` and ``storage:tier``: in answers of searches EODAG knows these three words and no others."""
_OWN_RELS = frozenset({"self", "root", "parent", "collection", "items", "next", "prev", "retrieve", "order"})
_WHOLE_KEYS = frozenset({"product", "download", "data", "archive", "zip", "safe"})
_WHOLE_TYPES = (b"zip", b"x-tar", b"octet-stream", b"gtar")
_EXTRAS = (b'"thumbnail"', b'"overview"', b'"metadata"')
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")

_ADDRESSES = tuple(b'"' + scheme.encode() for scheme in SAFE_SCHEMES)
_PLACE, _PLACE_OF_TITLE = "x-place-of-the-id-x", "x-place-of-the-title-x"
_TITLE = msgspec.json.encode(_PLACE_OF_TITLE)
_MEMBERS = msgspec.json.Decoder(Members)
_ASSETS = msgspec.json.Decoder(dict[str, Members])
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_LINKS = msgspec.json.Decoder(list[dict[str, Any]])
_NONE = msgspec.Raw(b"{}")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class View(msgspec.Struct, frozen=True):
    """What an item is seen through: our addresses, and how backends and collections are called.

    ``base`` is the address of the face, ``root`` of the gateway. ``orders`` are the sites that take orders.
    ``legacy`` puts the product's own link first, with its name, as version 1 did.
    """

    base: str
    root: str
    names: Mapping[str, str]
    titles: Callable[[str], str]
    prefer: Preference
    orders: frozenset[str] = frozenset()
    legacy: bool = False


def render(group: Group, view: View) -> Members:
    """Return the best copy of an item as clients of HDA read it, with the others as alternates."""
    if len(group) == 1:
        site, item = group[0].site, group[0].item
    else:
        site, item = sort_out(group, prefer=view.prefer).stands.site, merged_copies(group, prefer=view.prefer)
    return rendered(item, site, view)


def rendered(item: Members, site: str, view: View) -> Members:
    """Return one item of one site; see :func:`render`."""
    collection, item_id = _TEXT.decode(item["collection"]), _TEXT.decode(item["id"])
    state = availability(item)
    can_be_ordered = state == "orderable" and site in view.orders
    retrieve = _retrieve(item, collection, item_id, site, view) if can_be_ordered else None
    return item | {
        "links": _links(item, collection, item_id, view, retrieve),
        "properties": with_state(item.get("properties", _NONE), view.names.get(site, site), state),
        "assets": with_downloads(item.get("assets", _NONE), _front(view.root, site, collection, item_id)),
        "stac_extensions": _extensions(bytes(item.get("stac_extensions", b"[]"))),
    }


def _front(root: str, site: str, collection: str, item_id: str) -> str:
    """Return the address of an item's downloads, up to the asset's key."""
    if _PLAIN.fullmatch(item_id):
        return f"{_front_of_items(root, site, collection)}{item_id}/"
    return download_href(root, site=site, collection=collection, item=item_id, asset="x")[:-1]


@kept(1024)
def _front_of_items(root: str, site: str, collection: str) -> str:
    return download_href(root, site=site, collection=collection, item="x", asset="x")[: -len("x/x")]


def with_state(properties: msgspec.Raw, backend: str, state: Availability) -> msgspec.Raw:
    """Return properties with the one backend, and how the data can be had in the words that clients compare with."""
    body = bytes(properties)
    status, tier = _TELLS[state]
    told = b"order:status" in body or b"storage:tier" in body or b"federation:backends" in body
    if not told and body[:2] == b'{"':
        return msgspec.Raw(b"".join((b"{", _state(backend, status, tier), b",", body[1:])))
    own: Json = {"federation:backends": [backend], "order:status": status, "storage:tier": tier}
    return msgspec.Raw(msgspec.json.encode(_MEMBERS.decode(body) | own))


@functools.lru_cache(maxsize=1024)
def _state(backend: str, status: str, tier: str) -> bytes:
    own = {"federation:backends": [backend], "order:status": status, "storage:tier": tier}
    return msgspec.json.encode(own)[1:-1]


def with_downloads(assets: msgspec.Raw, front: str) -> msgspec.Raw:
    """Return assets to be had through the gateway; ``front`` is the address of the item's downloads, up to a key.

    ``downloadLink`` is added where there is none: the asset that is the whole product, or the first one with data.
    """
    try:
        told: dict[str, dict[str, Any]] = _ASSETS.decode(assets)
    except _UNREADABLE:
        return _NONE  # assets that are no assets
    if not told:
        return _NONE
    main = WHOLE if WHOLE in told else _main(told)
    found: dict[str, Any] = {}
    for key, asset in told.items():
        href = asset.get("href")
        if href is None or not bytes(href).startswith(b'"'):
            continue
        asset["href"] = front + (key if _PLAIN.fullmatch(key) else asset_part(key))
        if bytes(href).startswith(_ADDRESSES):
            asset["alternate"] = _with_origin(asset, href)
        if key == main:
            found[WHOLE] = _whole(asset, href, key)
        if key != WHOLE:
            found[key] = asset
    return msgspec.Raw(msgspec.json.encode(found))


def asset_part(key: str) -> str:
    """Return the last part of the address of a download."""
    return download_href("", site="x", collection="x", item="x", asset=key).rpartition("/")[2]


def _with_origin(asset: Json, href: msgspec.Raw) -> Json:
    """Return an asset's alternates, with the provider's address as its origin."""
    origin: Json = {"href": href, "title": "Origin asset link"}
    if "type" in asset:
        origin["type"] = asset["type"]
    others = asset.get("alternate")
    return _alternates(others) | {"origin": origin} if others is not None else {"origin": origin}


def _whole(asset: Json, href: msgspec.Raw, key: str) -> Json:
    """Return the asset of the whole product: clients split its type at the slash, so it has one."""
    own = asset | {"title": "Download link" if key == WHOLE else f"Download link ({key})"}
    if "type" not in own:
        own["type"] = _type_of(_text(href))
    return own


def _type_of(href: str) -> str:
    kind, _ = mimetypes.guess_type(href.partition("?")[0], strict=False)
    return kind or OCTETS


def _main(assets: Mapping[str, Json]) -> str | None:
    """Return the key of what comes nearest to the whole product: of equals, the first."""
    best, key = None, None
    for name, asset in assets.items():
        if "href" not in asset:
            continue
        rank = _rank(name, bytes(asset.get("type", b"")), bytes(asset.get("roles", b"")))
        if rank is not None and (best is None or rank < best):
            best, key = rank, name
    return key


@kept(4096)
def _rank(key: str, kind: bytes, roles: bytes) -> tuple[bool, bool, bool] | None:
    """Return how far an asset is from the whole product; None for one that is no data."""
    is_data = b'"data"' in roles
    if not is_data and any(role in roles for role in _EXTRAS):
        return None
    return (key.lower() not in _WHOLE_KEYS, not any(word in kind for word in _WHOLE_TYPES), not is_data)


def _text(raw: msgspec.Raw) -> str:
    try:
        return _TEXT.decode(raw)
    except _UNREADABLE:
        return ""


def _alternates(raw: msgspec.Raw) -> Json:
    try:
        return dict(_MEMBERS.decode(raw))
    except _UNREADABLE:
        return {}


def _links(item: Members, collection: str, item_id: str, view: View, retrieve: Json | None) -> msgspec.Raw:
    before, after = (_legacy_frame if view.legacy else _frame)(view.base, collection, view.titles(collection))
    quoted = (item_id if _PLAIN.fullmatch(item_id) else quote(item_id, safe="")).encode()
    own = before + quoted + after
    if view.legacy:
        own = own.replace(_TITLE, msgspec.json.encode(item_id))
    others = [each for each in told_links(item) if _is_foreign(each)] + ([retrieve] if retrieve is not None else [])
    return msgspec.Raw(own + (b"," + msgspec.json.encode(others)[1:] if others else b"]"))


@kept(1024)
def _frame(base: str, collection: str, title: str) -> tuple[bytes, bytes]:
    """Return the links of a collection's items before and after the item's id, without the closing bracket."""
    own, above = _own_and_above(base, collection, title, "Original item link")
    return _around_place([above, own])


@kept(1024)
def _legacy_frame(base: str, collection: str, title: str) -> tuple[bytes, bytes]:
    """Return the same as version 1 had it: the item's own link is the first, and has a place for its title."""
    return _around_place(list(_own_and_above(base, collection, title, _PLACE_OF_TITLE)))


def _own_and_above(base: str, collection: str, title: str, own_title: str) -> tuple[Json, Json]:
    parent = url_of(base, "collections", collection)
    own = link("self", f"{parent}/items/{_PLACE}", GEOJSON_TYPE, own_title)
    return own, link("collection", parent, JSON_TYPE, title)


def _around_place(links: Sequence[Json]) -> tuple[bytes, bytes]:
    slash, place = b"/items/", _PLACE.encode()
    before, _, after = msgspec.json.encode(links)[:-1].partition(slash + place)
    return before + slash, after


def told_links(item: Members) -> list[Json]:
    """Return the links that came with an item; none where they cannot be read."""
    raw = item.get("links")
    if raw is None or len(raw) <= len(b"[]"):
        return []
    try:
        return _LINKS.decode(raw)
    except _UNREADABLE:
        return []


def _is_foreign(told: Json) -> bool:
    href = told.get("href")
    return told.get("rel") not in _OWN_RELS and isinstance(href, str) and href.startswith(SAFE_SCHEMES)


def _retrieve(item: Members, collection: str, item_id: str, site: str, view: View) -> Json:
    told = next((each.get("body") for each in told_links(item) if each.get("rel") in ("retrieve", "order")), None)
    if told is None and PLACEHOLDER in item_id:
        told = _native(item)
    href = url_of(view.base, "collections", collection, "order")
    body = order_body(told, item_id, view.names.get(site, site))
    return link("retrieve", href, GEOJSON_TYPE, "Retrieve") | {"method": "POST", "body": body}


def _native(item: Members) -> Json:
    """Return the provider's own words among the properties of an item that stands for what they ask for."""
    try:
        told = msgspec.json.decode(item["properties"], type=dict[str, Any])
    except (KeyError, *_UNREADABLE):
        return {}
    return {name.removeprefix(PREFIX): value for name, value in told.items() if name.startswith(PREFIX)}


@kept(256)
def _extensions(told: bytes) -> msgspec.Raw:
    try:
        names: Sequence[str] = _TEXTS.decode(told)
    except _UNREADABLE:
        names = []
    # not the storage extension: its version 2 has given up the tier, and pystac warns of each asset
    added = (ALTERNATE_EXTENSION, ORDER_EXTENSION)
    return msgspec.Raw(msgspec.json.encode([*names, *(name for name in added if name not in names)]))
