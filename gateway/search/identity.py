"""When are two items copies of one? The identity ladder, as tokens: two items that share one are copies. Pure.

A *replica* has the same id in the same (harmonised) collection, or the same bytes by checksum. Copies on a higher
rung are copies on all below it: replicas are of one product, and one product's encodings are of one observation.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from edges.model import Dedup, Members
from gateway.search.scene import Facts, Scene, facts_of
from gateway.search.scene_granules import gridded, hls, landsat, modis
from gateway.search.scene_sentinel import sentinel_1, sentinel_2, sentinel_3, sentinel_5p

Token = tuple[str, ...]
"""What copies share; its first word is the rung: ``item``, ``bytes``, ``product`` or ``observation``."""

_MISSIONS: tuple[Callable[[Facts], Scene | None], ...] = (
    sentinel_2,
    sentinel_1,
    landsat,
    modis,
    hls,
    sentinel_3,
    sentinel_5p,
    gridded,
)
_NO_DATA = frozenset({"metadata", "thumbnail", "overview"})
_STRONG = re.compile(r"1[2-7]([0-9a-f]{2}){21,}")
"""Multihashes of the SHA-2 and SHA-3 families (multicodec table, codes 0x12 to 0x17)."""


class _Asset(msgspec.Struct, frozen=True, gc=False):
    roles: Any = None
    checksum: Any = msgspec.field(default=None, name="file:checksum")
    size: Any = msgspec.field(default=None, name="file:size")


_ASSETS = msgspec.json.Decoder(dict[str, _Asset])


class Identity(msgspec.Struct, frozen=True, gc=False):
    """The tokens of an item on one rung; ``scene`` where its mission is known and the rung asks for it."""

    tokens: tuple[Token, ...]
    scene: Scene | None = None


def identify(item: Members, level: Dedup) -> Identity:
    """Return what makes an item a copy of another, up to this rung; nothing for what is no item."""
    facts = facts_of(item)
    if facts is None or level == "none":
        return Identity(tokens=())
    tokens: list[Token] = [("item", facts.collection, facts.id)]
    digest = digest_of(facts.assets)
    if digest is not None:
        tokens.append(("bytes", facts.collection if level == "replica" else "", *digest))
    if level == "replica":
        return Identity(tokens=tuple(tokens))
    scene = scene_of(facts)
    if scene is not None and scene.product is not None:
        tokens.append(("product", *scene.product))
    if scene is not None and scene.observation is not None and level == "observation":
        tokens.append(("observation", *scene.observation))
    return Identity(tokens=tuple(tokens), scene=scene)


def scene_of(facts: Facts) -> Scene | None:
    """Return the scene that an item shows; None where no mission's rules know it."""
    return next((scene for mission in _MISSIONS if (scene := mission(facts)) is not None), None)


def digest_of(assets: bytes) -> Token | None:
    """Return the checksums of all data assets, which are the item's bytes; None where one of them has none.

    A weak checksum counts together with the size only.
    """
    if b"file:checksum" not in assets:
        return None
    try:
        decoded = _ASSETS.decode(assets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    marks = [_mark(asset) for asset in decoded.values() if not _has_role(asset, _NO_DATA)]
    told = [mark for mark in marks if mark is not None]
    return tuple(sorted(told)) if told and len(told) == len(marks) else None


def _has_role(asset: _Asset, roles: frozenset[str]) -> bool:
    return isinstance(asset.roles, list) and any(isinstance(role, str) and role in roles for role in asset.roles)


def _mark(asset: _Asset) -> str | None:
    if not isinstance(asset.checksum, str) or not asset.checksum:
        return None
    checksum = asset.checksum.lower()
    if _STRONG.fullmatch(checksum):
        return checksum
    return f"{checksum}/{asset.size}" if isinstance(asset.size, int) else None


def relation(ours: Identity, theirs: Identity) -> str | None:
    """Return the lowest rung that two items share: ``replica``, ``product`` or ``observation``; None for no copies."""
    rungs = {token[0] for token in set(ours.tokens).intersection(theirs.tokens)}
    if rungs & {"item", "bytes"}:
        return "replica"
    return next((rung for rung in ("product", "observation") if rung in rungs), None)
