"""The page cursor: stateless, authenticated, and it holds no URL.

It says where the last page ended, as the values of the global order, and nothing about sites: each site is asked to
go on from there by a filter. So it is small on any page and for any number of sites, works on any replica that has
the signing key, and a site that failed on one page can rejoin on the next one.

It is never longer than :data:`MAX_TEXT`. Values that do not fit, such as a long text, are held by their beginning and a
digest of the whole key: the place is then found by reading on from the beginning.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import Query
from edges.stac.order import Key, Reversed, key_of_values, total_order

_MAC_BYTES = 12
_DIGEST_BYTES = 8
_MAX_TOKEN = 4_096
MAX_TEXT = 400
"""Longest cursor, in characters."""
_LENGTH_BYTES = 4  # by which the header of a text grows with its length
_MAX_BODY = MAX_TEXT * 3 // 4 - _MAC_BYTES


class Count(msgspec.Struct, frozen=True, array_like=True):
    """How many items match: so many, or at least so many."""

    value: int
    exact: bool


UNCOUNTED = Count(value=0, exact=False)


class Anchor(msgspec.Struct, frozen=True, array_like=True):
    """The end of a page: values of the order's fields of its last item.

    ``count`` is the whole walk's. Where copies are given one by one, ``within`` is the site of the last one that was
    given of that item. Where the values are too long for a cursor, ``values`` are only the leading ones, ``beginning``
    is how the next one begins, if it is a text, and ``proof`` is the digest of the whole key (:func:`proof_of`).
    ``alone``: the items beside it have other values of what is sorted by, so that few can be tied with it.
    """

    values: tuple[Any, ...]
    count: Count = UNCOUNTED
    within: str = ""
    beginning: str | None = None
    proof: bytes = b""
    alone: bool = False


class _Token(msgspec.Struct, frozen=True, array_like=True):
    expires: int
    digest: bytes
    anchor: Anchor


_TOKEN = msgspec.msgpack.Decoder(_Token)


def query_digest(query: Query, user: str) -> bytes:
    """Return what binds a cursor to its query and its user. The page size is free to change between pages."""
    identity = msgspec.structs.replace(query, limit=1, fields=None)
    return _digest(msgspec.json.encode([user, identity], order="deterministic"))


def proof_of(key: Key) -> bytes:
    """Return a digest of a key in the global order, by which its item is known again."""
    parts = [part if isinstance(part, str) else _plain(part) for part in key]
    return _digest(msgspec.json.encode(parts))


def _digest(told: bytes) -> bytes:
    return hashlib.blake2b(told, digest_size=_DIGEST_BYTES).digest()


def _plain(part: Any) -> Any:
    kind, value = part if isinstance(part, tuple) else (None, part)
    return [kind, value.text if isinstance(value, Reversed) else value]


class Cursors:
    """Writes and reads cursors. ``key`` signs; what was signed with one of the ``former`` keys is read as well."""

    def __init__(self, *, key: bytes, lifetime_seconds: float, former: Sequence[bytes] = ()) -> None:
        self._keys = tuple(map(_mac_key, (key, *former)))
        self._lifetime = lifetime_seconds

    def write(self, anchor: Anchor, query: Query, user: str, *, now: float) -> str:
        """Return the cursor of the page after ``anchor``, whose values are those of its total order."""
        token = _Token(expires=int(now + self._lifetime), digest=query_digest(query, user), anchor=anchor)
        body = msgspec.msgpack.encode(token)
        if len(body) > _MAX_BODY:
            proof = proof_of(key_of_values(total_order(query.sortby), anchor.values))
            body = _shortened(token, proof)
        return base64.urlsafe_b64encode(_mac(self._keys[0], body) + body).rstrip(b"=").decode()

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
        if not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._keys):
            raise InvalidInput("token", "it was not issued here or was altered", "the token of a next link, unchanged")
        content = _TOKEN.decode(body)
        if content.expires < now:
            raise InvalidInput("token", "it has expired", "a search from its first page")
        if content.digest != query_digest(query, user):
            raise InvalidInput("token", "it belongs to another search or user", "the search that it was given for")
        return content.anchor


def _mac_key(key: bytes) -> bytes:
    """Return a key of its own for cursors, of a length that the code takes, whatever the signing key's is."""
    return hashlib.blake2b(key, digest_size=32, person=b"lakegate-cursor").digest()


def _mac(key: bytes, body: bytes) -> bytes:
    """Return the authentication code of a cursor: keyed BLAKE2b (RFC 7693), which costs a tenth of an HMAC here."""
    return hashlib.blake2b(body, key=key, digest_size=_MAC_BYTES).digest()


def _shortened(token: _Token, proof: bytes) -> bytes:
    """Return the token with as many leading values as fit, and the beginning of the first that does not."""

    def encoded(held: int, beginning: str | None) -> bytes:
        anchor = msgspec.structs.replace(
            token.anchor, values=token.anchor.values[:held], beginning=beginning, proof=proof
        )
        return msgspec.msgpack.encode(msgspec.structs.replace(token, anchor=anchor))

    values = token.anchor.values
    held = next((n for n in range(len(values), 0, -1) if len(encoded(n, None)) <= _MAX_BODY), 0)
    following = values[held] if held < len(values) else None
    if not isinstance(following, str):
        return encoded(held, None)
    room = max(0, _MAX_BODY - len(encoded(held, "")) - _LENGTH_BYTES)
    return encoded(held, following.encode()[:room].decode("utf-8", "ignore"))
