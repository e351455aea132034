"""Whether a copy's bytes are online or have to be ordered first, as its site tells it. Pure.

Sources: STAC order extension v1.1.0 (``order:status``), storage extension v1.0.0 (``storage:tier``, which v2.0.0 has
given up but the wild has not), CDSE and EODAG (``ONLINE``, ``OFFLINE``, ``STAGING``).
"""

from typing import Any, Literal

import msgspec

from edges.model import Members

Availability = Literal["online", "orderable", "ordered"]
"""``online`` now, ``orderable`` from tape or the like, or ``ordered`` and on its way."""

_ORDERS: dict[str, Availability] = {
    "orderable": "orderable",
    "failed": "orderable",
    "canceled": "orderable",
    "ordered": "ordered",
    "pending": "ordered",
    "shipping": "ordered",
    "succeeded": "online",
}
_SLOW_TIERS: dict[str, Availability] = {
    "offline": "orderable",
    "tape": "orderable",
    "archive": "orderable",
    "glacier": "orderable",
    "deep_archive": "orderable",
    "staging": "ordered",
}


class _Told(msgspec.Struct, frozen=True, gc=False):
    order: Any = msgspec.field(default=None, name="order:status")
    tier: Any = msgspec.field(default=None, name="storage:tier")
    roles: Any = None


_TOLD = msgspec.json.Decoder(_Told)
_ASSETS = msgspec.json.Decoder(dict[str, _Told])
_NO_DATA = frozenset({"metadata", "thumbnail", "overview"})


def availability(item: Members) -> Availability:
    """Return how an item's data can be had: as its slowest data asset, where assets tell it of their own.

    What tells nothing, or what cannot be read, is taken to be online, as nearly all is.
    """
    properties, assets = bytes(item.get("properties", b"{}")), bytes(item.get("assets", b"{}"))
    found: list[Availability] = []
    try:
        if _speaks(properties):
            found.append(_of(_TOLD.decode(properties)))
        if _speaks(assets):
            found += [_of(asset) for asset in _ASSETS.decode(assets).values() if not _is_extra(asset)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "online"
    for slow in ("orderable", "ordered"):
        if slow in found:
            return slow
    return "online"


def _speaks(raw: bytes) -> bool:
    return b"order:status" in raw or b"storage:tier" in raw


def _of(told: _Told) -> Availability:
    if isinstance(told.order, str):
        return _ORDERS.get(told.order.lower(), "online")
    return _SLOW_TIERS.get(told.tier.lower(), "online") if isinstance(told.tier, str) else "online"


def _is_extra(asset: _Told) -> bool:
    return isinstance(asset.roles, list) and any(role in _NO_DATA for role in asset.roles if isinstance(role, str))
