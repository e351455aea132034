"""Page positions: the sort values of the last item given, opaque to callers, checked when they come back."""

import base64
import binascii
import hashlib
from typing import Any

import msgspec

from edges.errors import InvalidInput
from edges.model import SortKey
from edges.stac.limits import MAX_TOKEN

Values = tuple[Any, ...]
"""The plain JSON values of an order's fields, as ``edges.stac.order.compile_values`` gives them."""


def encode_position(order: tuple[SortKey, ...], values: Values) -> str:
    """Return the position after an item with these values."""
    text = msgspec.json.encode([_digest(order), *values])
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode("ascii")


def decode_position(order: tuple[SortKey, ...], position: str) -> Values:
    """Return the values of a position.

    Raises:
        InvalidInput: not a position, or one of another order.
    """
    if len(position) > MAX_TOKEN:
        raise _refused("too long")
    try:
        padded = position.encode("ascii") + b"=" * (-len(position) % 4)
        digest, *values = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=list[Any])
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _refused("not a position of this catalogue") from error
    if digest != _digest(order):
        raise _refused("a position of another order")
    named = [value for key, value in zip(order, values, strict=False) if key.field in ("id", "collection")]
    if len(values) != len(order) or not all(isinstance(value, str) for value in named):
        raise _refused("not a position of this catalogue")
    return tuple(values)


def _digest(order: tuple[SortKey, ...]) -> str:
    text = ",".join(f"{'-' if key.descending else '+'}{key.field}" for key in order)
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()


def _refused(wrong: str) -> InvalidInput:
    return InvalidInput("token", wrong, "the token of a `next` link, with the same search")
