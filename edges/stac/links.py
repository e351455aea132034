"""Links: built from our own address, never from what a request or a site says."""

from collections.abc import Iterable
from urllib.parse import quote, urlencode

import msgspec

from edges.kept import kept
from edges.model import Json, Members

JSON_TYPE = "application/json"
GEOJSON_TYPE = "application/geo+json"
SCHEMA_TYPE = "application/schema+json"
QUERYABLES_REL = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
SORTABLES_REL = "http://www.opengis.net/def/rel/ogc/1.0/sortables"

OWN_RELS = frozenset({"self", "root", "parent", "collection", "items", "next", "prev", QUERYABLES_REL, SORTABLES_REL})
"""Links that say where a thing is served; ours replace those that came with it."""

_LINKS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TEXT = msgspec.json.Decoder(str)


def link(rel: str, href: str, kind: str = JSON_TYPE, title: str | None = None) -> Json:
    """Return a Link object."""
    made = {"rel": rel, "href": href, "type": kind}
    return made if title is None else made | {"title": title}


def url_of(base: str, *steps: str) -> str:
    """Return an address below ``base``, each step percent-encoded."""
    return "/".join([base.rstrip("/"), *(quote(step, safe="") for step in steps)])


def collection_links(base: str, collection: str) -> list[Json]:
    """Return the links of a collection that is served below ``base``."""
    own = url_of(base, "collections", collection)
    return [
        link("self", own),
        link("root", url_of(base)),
        link("parent", url_of(base)),
        link("items", f"{own}/items", GEOJSON_TYPE),
        link(QUERYABLES_REL, f"{own}/queryables", SCHEMA_TYPE),
        link(SORTABLES_REL, f"{own}/sortables", SCHEMA_TYPE),
    ]


def item_links(base: str, collection: str, item_id: str) -> list[Json]:
    """Return the links of an item that is served below ``base``."""
    parent = _collection_url(base, collection)
    return [
        {"rel": "self", "href": f"{parent}/items/{quote(item_id, safe='')}", "type": GEOJSON_TYPE},
        {"rel": "root", "href": base.rstrip("/"), "type": JSON_TYPE},
        {"rel": "parent", "href": parent, "type": JSON_TYPE},
        {"rel": "collection", "href": parent, "type": JSON_TYPE},
    ]


@kept(1024)
def _collection_url(base: str, collection: str) -> str:
    """Return a collection's address; kept, since every item of a page asks for it."""
    return url_of(base, "collections", collection)


def next_by_get(url: str, parameters: Iterable[tuple[str, str]], token: str) -> Json:
    """Return the ``next`` link of a GET: the same parameters, with the token of the following page."""
    kept = [(name, value) for name, value in parameters if name != "token"]
    return link("next", f"{url}?{urlencode([*kept, ('token', token)])}", GEOJSON_TYPE) | {"method": "GET"}


def next_by_post(url: str, body: Json, token: str) -> Json:
    """Return the ``next`` link of a POST: the whole body is given, nothing is to be merged."""
    return link("next", url, GEOJSON_TYPE) | {
        "method": "POST",
        "body": body | {"token": token},
        "merge": False,
    }


def page_link(rel: str, url: str, asked: Json | list[tuple[str, str]], token: str) -> Json:
    """Return a link to a page beside this one: ``asked`` are the parameters of a GET, or the body of a POST."""
    made = next_by_post(url, asked, token) if isinstance(asked, dict) else next_by_get(url, asked, token)
    return made | {"rel": rel, "type": JSON_TYPE}


def with_links(members: Members, own: list[Json]) -> Members:
    """Return an item or collection with these links of its own; foreign links are kept byte by byte."""
    kept = [raw for raw in _links(members) if _rel(raw) not in OWN_RELS]
    return members | {"links": msgspec.Raw(msgspec.json.encode([*own, *kept]))}


def own_item(item: Members, base: str) -> Members:
    """Return an item with the links of the place where we serve it.

    Raises:
        KeyError: the item has no id or no collection.
        msgspec.DecodeError: one of them is not text.
    """
    return with_links(item, item_links(base, _TEXT.decode(item["collection"]), _TEXT.decode(item["id"])))


def own_collection(collection: Json, base: str) -> Json:
    """Return a collection with the links of the place where we serve it."""
    given = collection.get("links")
    kept = [entry for entry in (given if isinstance(given, list) else []) if isinstance(entry, dict)]
    foreign = [
        entry for entry in kept if entry.get("rel") not in OWN_RELS and entry.get("rel") not in ("item", "child")
    ]
    return collection | {"links": [*collection_links(base, str(collection["id"])), *foreign]}


def _links(members: Members) -> list[Members]:
    try:
        return _LINKS.decode(members.get("links", b"[]"))
    except (msgspec.DecodeError, RecursionError):
        return []  # links that are no links: we give ours only


def _rel(raw: Members) -> str:
    try:
        return _TEXT.decode(raw.get("rel", b'""'))
    except (msgspec.DecodeError, RecursionError):
        return ""
