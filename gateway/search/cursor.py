"""The page cursor: stateless, authenticated, and it holds no URL.

It says where the last page ended, as the values of the global order, and nothing about sites: each site is asked to
go on from there by a filter. So it is small on any page and for any number of sites, works on any replica that has
the signing key, and a site that failed on one page can rejoin on the next one.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Query

_MAC_BYTES = 12
_DIGEST_BYTES = 8
_MAX_TOKEN = 4_096


class Count(msgspec.Struct, frozen=True, array_like=True):
    """How many items match: so many, or at least so many."""

    value: int
    exact: bool


UNCOUNTED = Count(value=0, exact=False)


class Anchor(msgspec.Struct, frozen=True, array_like=True):
    """The end of a page: values of the order's fields of its last item.

    ``count`` is the whole walk's. Where copies are given one by one, ``within`` is the site of the last one that was
    given of that item.
    """

    values: tuple[Any, ...]
    count: Count = UNCOUNTED
    within: str = ""


class _Token(msgspec.Struct, frozen=True, array_like=True):
    expires: int
    digest: bytes
    anchor: Anchor


_TOKEN = msgspec.msgpack.Decoder(_Token)


def query_digest(query: Query, user: str) -> bytes:
    """Return what binds a cursor to its query and its user. The page size is free to change between pages."""
    identity = msgspec.structs.replace(query, limit=1, fields=None)
    return hashlib.sha256(msgspec.json.encode([user, identity], order="deterministic")).digest()[:_DIGEST_BYTES]


class Cursors:
    """Writes and reads cursors under one signing key."""

    def __init__(self, *, key: bytes, lifetime_seconds: float) -> None:
        self._key = key
        self._lifetime = lifetime_seconds

    def write(self, anchor: Anchor, query: Query, user: str, *, now: float) -> str:
        """Return the cursor of the page after ``anchor``."""
        body = msgspec.msgpack.encode(
            _Token(expires=int(now + self._lifetime), digest=query_digest(query, user), anchor=anchor)
        )
        return base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, token: str, query: Query, user: str, *, now: float) -> Anchor:
        """Return the anchor of a cursor that we wrote for this query and this user.

        Raises:
            InvalidInput: it is not ours, was altered, has expired, or belongs to another query or user.
        """
        if len(token) > _MAX_TOKEN:
            raise InvalidInput("token", "it is too long", "the token of a next link, unchanged")
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("token", "it cannot be read", "the token of a next link, unchanged") from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise InvalidInput("token", "it was not issued here or was altered", "the token of a next link, unchanged")
        content = _TOKEN.decode(body)
        if content.expires < now:
            raise InvalidInput("token", "it has expired", "a search from its first page")
        if content.digest != query_digest(query, user):
            raise InvalidInput("token", "it belongs to another search or user", "the search that it was given for")
        return content.anchor

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_MAC_BYTES]
