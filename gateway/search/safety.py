"""Items without addresses that no client should open, and which sites told them. Pure."""

from collections.abc import Sequence

import msgspec

from edges.model import Members
from edges.stac.hrefs import looks_unsafe, without_unsafe
from gateway.search.merge import Group


def made_safe(items: Sequence[Members], groups: Sequence[Group]) -> tuple[list[Members], dict[str, int]]:
    """Return items, rendered of these groups, without unsafe assets and links; and how many were left out, by site.

    Where an item has copies, the count goes to the site whose copy comes first.
    """
    safe: list[Members] = []
    left_out: dict[str, int] = {}
    for item, group in zip(items, groups, strict=True):
        kept, count = safe_item(item)
        safe.append(kept)
        if count:
            left_out[group[0].site] = left_out.get(group[0].site, 0) + count
    return safe, left_out


def safe_item(item: Members) -> tuple[Members, int]:
    """Return an item without what is unsafe, and how much was left out; only what is suspicious is decoded."""
    changed: Members = {}
    left_out = 0
    for name, raw in item.items():
        if looks_unsafe(bytes(raw)):
            value, count = without_unsafe(_decoded(raw))
            if count:
                changed[name] = msgspec.Raw(msgspec.json.encode(value))
                left_out += count
    return (item | changed, left_out) if changed else (item, 0)


def _decoded(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # what cannot be read has no place in an answer
