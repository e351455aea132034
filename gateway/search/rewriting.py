"""Members of an item written anew without decoding the item: its links, and who has it. Pure; once for each item given.

Links of ours replace those that say where a thing is served; the others stay the site's own bytes, if they are safe.
"""

import functools
import re
from typing import Any
from urllib.parse import quote

import msgspec

from edges.kept import kept
from edges.model import Members
from edges.stac.links import OWN_RELS, item_links

SAFE_SCHEMES = ("http://", "https://", "s3://", "gs://", "az://", "abfs://", "ftp://")
"""Addresses that a client can be given: no ``javascript:`` and the like, and no relative ones, whose base is lost."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
_PLACE = "x-place-of-the-id-x"
_PLACE_BYTES = _PLACE.encode()
_HOLE = b"\0"
"""What stands where an id stood, and nowhere in JSON text (RFC 8259 section 7)."""
_TELLING = 6
"""Shortest id, in bytes, that may stand for itself in a pattern of links: shorter ones are parts of other words."""
_LONGEST = 8 * 1024
"""Longest links, in bytes, whose pattern is kept: honest ones are a tenth of that, and many patterns are kept."""
_DECIDING = b" ".join(each.encode() for each in (*sorted(OWN_RELS), *SAFE_SCHEMES, "rel href null false true"))
"""Whatever the choice of links depends on: an id that is part of it is never taken for a place in a pattern."""
_LONGEST_WORD = max(map(len, _DECIDING.split()))
_MEMBERS = msgspec.json.Decoder(Members)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Link(msgspec.Struct, gc=False):
    rel: str = "self"
    href: str = ""


class _OddLink(msgspec.Struct, gc=False):
    rel: Any = None
    href: Any = None


_LINKS = msgspec.json.Decoder(list[_Link])
_ODD_LINKS = msgspec.json.Decoder(list[_OddLink])
_RAW_LINKS = msgspec.json.Decoder(list[msgspec.Raw])


def own_links(told: msgspec.Raw | None, base: str, collection: str, item_id: str) -> msgspec.Raw:
    """Return an item's links as we serve it below ``base``; ``told`` are those that came with it."""
    raw = b"[]" if told is None else bytes(told)
    if _PLAIN.fullmatch(item_id):
        own = item_id.encode()
        if _tells(own) and len(raw) + len(collection) <= _LONGEST and _HOLE not in raw:
            pattern = _pattern(raw.replace(own, _HOLE), base, collection)
            if pattern is not None:
                return msgspec.Raw(own.join(pattern))
    before, after = _frame(base, collection)
    return msgspec.Raw(b"".join((before, quote(item_id, safe="").encode(), after, _foreign(raw), b"]")))


def _tells(own: bytes) -> bool:
    """Tell whether an id, wherever it stands in links, decides nothing of which of them are kept."""
    return len(own) > _LONGEST_WORD or (len(own) >= _TELLING and own not in _DECIDING)


@functools.lru_cache(maxsize=1024)
def _pattern(told: bytes, base: str, collection: str) -> tuple[bytes, ...] | None:
    """Return what stands between the ids in the links of items which differ by nothing but those.

    None where each item is to be read by itself. ``told`` has a hole where the id stood. Links of one collection are
    mostly of one pattern. What an id stands for decides nothing there: it is part of no relation and of no scheme that
    is looked for, and with another id in its place the same texts begin and end where they did, or the pattern is no
    JSON.
    """
    before, after = _frame(base, collection)
    if any(_PLACE_BYTES in part for part in (told, before, after)):
        return None
    try:
        kept = _read(told.replace(_HOLE, _PLACE_BYTES))
    except _UNREADABLE:
        return None
    return tuple(b"".join((before, _PLACE_BYTES, after, kept, b"]")).split(_PLACE_BYTES))


@kept(1024)
def _frame(base: str, collection: str) -> tuple[bytes, bytes]:
    """Return the links of a collection's items before and after the item's id, without the closing bracket."""
    links = msgspec.json.encode(item_links(base, collection, _PLACE))[:-1]
    before, _, after = links.partition(b"/items/" + _PLACE_BYTES)
    return before + b"/items/", after


def _foreign(told: bytes) -> bytes:
    """Return the links to elsewhere that a client can be given, each after a comma."""
    try:
        return _read(told)
    except _UNREADABLE:
        return b""  # links that are no links: we give ours only


def _read(told: bytes) -> bytes:
    kept = _kept(told)
    if not kept:
        return b""
    raw = _RAW_LINKS.decode(told)
    return b"," + b",".join([bytes(raw[place]) for place in kept])


def _kept(told: bytes) -> list[int]:
    try:
        links = _LINKS.decode(told)
    except msgspec.ValidationError:
        links = [_plain(link) for link in _ODD_LINKS.decode(told)]
    return [
        place for place, link in enumerate(links) if link.rel not in OWN_RELS and link.href.startswith(SAFE_SCHEMES)
    ]


def _plain(link: _OddLink) -> _Link:
    """Return a link that is none of those kept, where its members are no text."""
    plain = isinstance(link.rel, str) and isinstance(link.href, str)
    return _Link(rel=link.rel, href=link.href) if plain else _Link()


def with_backends(properties: msgspec.Raw, sites: tuple[str, ...]) -> msgspec.Raw:
    """Add ``federation:backends`` to an object; without decoding it, but where it has that member already."""
    body = bytes(properties)
    if body[:2] == b'{"' and b"federation:backends" not in body:  # the usual case: something, closely written
        return msgspec.Raw(body.replace(b"{", _opening(sites), 1))
    if not body.startswith(b"{") or b"federation:backends" in body:
        return msgspec.Raw(msgspec.json.encode(_MEMBERS.decode(body) | {"federation:backends": list(sites)}))
    rest = body[1:].lstrip()
    return msgspec.Raw(b"".join((b"{", _backends(sites), b"" if rest.startswith(b"}") else b",", rest)))


@functools.lru_cache(maxsize=1024)
def _opening(sites: tuple[str, ...]) -> bytes:
    return b"".join((b"{", _backends(sites), b","))


@functools.lru_cache(maxsize=1024)
def _backends(sites: tuple[str, ...]) -> bytes:
    return b'"federation:backends":' + msgspec.json.encode(sites)
