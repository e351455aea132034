"""Groups of copies become STAC items: the best copy stands, the others are told as ``alternate`` assets. Pure.

Items stay the site's bytes; only links are decoded and written anew, and assets only where there are copies.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edges.model import Members
from gateway.search.merge import Group, Row
from gateway.search.rewriting import own_links, with_backends

FEDERATION_EXTENSION = "https://api.openeo.org/extensions/federation/0.1.0"
_ASSETS = msgspec.json.Decoder(dict[str, dict[str, Any]])
_TEXT = msgspec.json.Decoder(str)
_NONE = msgspec.Raw(b"{}")

Preference = Callable[[Row], Any]
"""Orders copies: the smallest stands."""


def preference(priorities: Mapping[str, int], near: str | None = None) -> Preference:
    """Prefer the copy at the user's own edge, then by the sites' priority, then by id."""

    def order(row: Row) -> tuple[bool, int, str]:
        return (row.site != near, priorities.get(row.site, 1 << 30), row.site)

    return order


def render_item(group: Group, *, base: str, prefer: Preference) -> Members:
    """Return one item with our links, its sites in ``federation:backends``, and its copies as alternates."""
    item = merged_copies(group, prefer=prefer)
    collection, item_id = _TEXT.decode(item["collection"]), _TEXT.decode(item["id"])
    item["links"] = own_links(item.get("links"), base, collection, item_id)
    sites = (group[0].site,) if len(group) == 1 else tuple(sorted({row.site for row in group}))
    item["properties"] = with_backends(item.get("properties", _NONE), sites)
    return item


def merged_copies(group: Group, *, prefer: Preference) -> Members:
    """Return the best copy as its site tells it, with the other copies as alternates of its assets."""
    if len(group) == 1:
        return dict(group[0].item)
    copies = sorted(group, key=prefer)
    return copies[0].item | {"assets": _raw(_with_alternates(copies))}


def _with_alternates(copies: list[Row]) -> dict[str, dict[str, Any]]:
    """Return the first copy's assets, each with the other copies' addresses (alternate-assets v1.2.0)."""
    decoded = [(row.site, _told_assets(row)) for row in copies]
    assets = decoded[0][1]
    for name, asset in assets.items():
        alternates: dict[str, Any] = {}
        for site, others in decoded[1:]:
            other = others.get(name)
            if other is None:
                continue
            alternates |= _object(other.get("alternate"))
            if other.get("href") != asset.get("href"):
                alternates[site] = _alternate(site, other)
        own = _object(asset.get("alternate"))
        if alternates or own:
            asset["alternate"] = own | alternates
    return assets


def _told_assets(row: Row) -> dict[str, dict[str, Any]]:
    try:
        return _ASSETS.decode(row.item.get("assets", msgspec.Raw(b"{}")))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}  # assets that are no assets: the copy has nothing to offer


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _alternate(site: str, asset: dict[str, Any]) -> dict[str, Any]:
    told = {name: asset[name] for name in ("storage:refs", "file:checksum", "file:size") if name in asset}
    return {"href": asset.get("href"), "alternate:name": site} | told


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
