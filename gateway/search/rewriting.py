"""Members of an item written anew without decoding the item: its links, and who has it. Pure; once for each item given.

Links of ours replace those that say where a thing is served; the others stay the site's own bytes, if they are safe.
"""

import functools
import re
from typing import Any
from urllib.parse import quote

import msgspec

from edges.model import Members
from edges.stac.links import OWN_RELS, item_links

SAFE_SCHEMES = ("http://", "https://", "s3://", "gs://", "az://", "abfs://", "ftp://")
"""Addresses that a client can be given: no ``javascript:`` and the like, and no relative ones, whose base is lost."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
_PLACE = "x-place-of-the-id-x"
_MEMBERS = msgspec.json.Decoder(Members)


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
    before, after = _frame(base, collection)
    quoted = item_id if _PLAIN.fullmatch(item_id) else quote(item_id, safe="")
    kept = _foreign(told) if told is not None else b""
    return msgspec.Raw(b"".join((before, quoted.encode(), after, kept, b"]")))


@functools.lru_cache(maxsize=1024)
def _frame(base: str, collection: str) -> tuple[bytes, bytes]:
    """Return the links of a collection's items before and after the item's id, without the closing bracket."""
    links = msgspec.json.encode(item_links(base, collection, _PLACE))[:-1]
    before, _, after = links.partition(_PLACE.encode())
    return before, after


def _foreign(told: msgspec.Raw) -> bytes:
    """Return the links to elsewhere that a client can be given, each after a comma."""
    try:
        kept = _kept(told)
        if not kept:
            return b""
        raw = _RAW_LINKS.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""  # links that are no links: we give ours only
    return b"," + b",".join([bytes(raw[place]) for place in kept])


def _kept(told: msgspec.Raw) -> list[int]:
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
        return msgspec.Raw(b"".join((b"{", _backends(sites), b",", body[1:])))
    if not body.startswith(b"{") or b"federation:backends" in body:
        return msgspec.Raw(msgspec.json.encode(_MEMBERS.decode(body) | {"federation:backends": list(sites)}))
    rest = body[1:].lstrip()
    return msgspec.Raw(b"".join((b"{", _backends(sites), b"" if rest.startswith(b"}") else b",", rest)))


@functools.lru_cache(maxsize=1024)
def _backends(sites: tuple[str, ...]) -> bytes:
    return b'"federation:backends":' + msgspec.json.encode(sites)
