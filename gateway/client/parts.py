"""Which items are computed at which edge. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Items by edge, and those that no edge holds."""

    edges: Mapping[str, Sequence[Item]]
    nowhere: Sequence[Item] = field(default=())


def split(items: Sequence[Item], edges: Collection[str], *, without: Collection[str] = ()) -> Parts:
    """Give each item to one edge that holds it: the one with the fewest bytes to do so far, replicas last.

    ``without`` are edges that are no choice. The same items in the same order give the same parts.
    """
    able = [edge for edge in sorted(edges) if edge not in without]
    parts: dict[str, list[Item]] = {}
    load = dict.fromkeys(able, 0)
    nowhere: list[Item] = []
    held = [(item, [edge for edge in able if edge in holders(item)]) for item in items]
    for item, choices in sorted(held, key=lambda pair: len(pair[1])):
        if not choices:
            nowhere.append(item)
            continue
        edge = min(choices, key=lambda one: (load[one], one))
        load[edge] += _weight(item)
        parts.setdefault(edge, []).append(item)
    return Parts(edges=parts, nowhere=nowhere)


def holders(item: Item) -> frozenset[str]:
    """Return the sites that have an item, as the gateway tells them on it."""
    told = item.get("properties", {}).get("federation:backends") or item.get("federation:backends") or ()
    return frozenset(str(site) for site in told)


def localised(item: Item, edge: str) -> Item:
    """Return an item whose assets are addressed at an edge, where it has copies of them."""
    assets = {key: _at(asset, edge) for key, asset in (item.get("assets") or {}).items()}
    return {**item, "assets": assets}


def _at(asset: Item, edge: str) -> Item:
    there = (asset.get("alternate") or {}).get(edge)
    if not isinstance(there, dict) or not isinstance(there.get("href"), str):
        return asset
    return {**asset, **{key: value for key, value in there.items() if key != "alternate:name"}}


def _weight(item: Item) -> int:
    """Return an item's bytes, at least 1, so that items that tell no size are spread as well."""
    sizes = [asset.get("file:size") for asset in (item.get("assets") or {}).values()]
    return max(1, sum(size for size in sizes if isinstance(size, int) and size > 0))
