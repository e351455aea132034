"""Entity tags of items (RFC 9110 section 8.8.3), and what items weigh: both of their members, as catalogues give them.

Links do not count: they say where an item is served, not what it is. Pure.
"""

from hashlib import blake2b

import msgspec

from edges.model import Json, Members

_ENCODER = msgspec.json.Encoder(order="sorted")


def tag_of(item: Members) -> str:
    """Return the entity tag of an item, which is a strong one."""
    return f'"{blake2b(_canonical(item), digest_size=12).hexdigest()}"'


def size_of(item: Members) -> int:
    """Return what an item weighs, in bytes of compact JSON."""
    return len(_canonical(item))


def members_of(item: Json) -> Members:
    """Return a document with its members as bytes."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in item.items()}


def _canonical(item: Members) -> bytes:
    return _ENCODER.encode({name: msgspec.json.decode(value) for name, value in item.items() if name != "links"})
