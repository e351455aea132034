"""Groups of copies become STAC items: the best copy stands, the others are told on it. Pure.

Items stay the site's bytes; only links are written anew, and assets only where there are copies. Replicas are told as
``alternate`` assets, since they are the same bytes; other productions of the scene are other items, so as links. All
of them stand in ``federation:copies``, the best one first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from edges.model import Json, Members
from edges.stac.links import GEOJSON_TYPE, url_of
from gateway.search.alternates import Merged, merge_assets
from gateway.search.availability import availability
from gateway.search.identity import identify, relation
from gateway.search.merge import Group, Row
from gateway.search.rewriting import own_links, with_backends

_MEMBERS = msgspec.json.Decoder(Members)
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_NONE = msgspec.Raw(b"{}")

Preference = Callable[[Row], Any]
"""Orders copies: the smallest stands."""


class Told(msgspec.Struct, frozen=True):
    """A group, sorted out: who ``stands``, its ``replicas`` and its ``others``, each with its rung; best ones first."""

    stands: Row
    replicas: list[Row]
    others: list[tuple[Row, str]]


def preference(
    priorities: Mapping[str, int], near: str | None = None, *, unwell: Collection[str] = frozenset()
) -> Preference:
    """Prefer the copy at the user's own edge, then what is online, then by the sites' priority and health, then by id.

    ``unwell`` are the sites that do not answer as they should.
    """

    def order(row: Row) -> tuple[bool, bool, int, bool, str]:
        slow = availability(row.item) != "online"
        return (row.site != near, slow, priorities.get(row.site, 1 << 30), row.site in unwell, row.site)

    return order


def render_item(group: Group, *, base: str, prefer: Preference) -> Members:
    """Return one item with our links, the sites that have it in ``federation:backends``, and its copies."""
    if len(group) == 1:
        return _rendered(group[0].item, (group[0].site,), base)
    told = sort_out(group, prefer=prefer)
    item = _with_copies(told)
    sites = tuple(sorted({row.site for row in (told.stands, *told.replicas)}))
    rendered = _rendered(item, sites, base)
    if told.others:
        rendered["links"] = _with_links(rendered["links"], [_link(row, rung, base) for row, rung in told.others])
    return rendered


def merged_copies(group: Group, *, prefer: Preference) -> Members:
    """Return the copy that stands as a site could hold it: with the replicas as alternates of its assets."""
    if len(group) == 1:
        return dict(group[0].item)
    told = sort_out(group, prefer=prefer)
    return _with_assets(told.stands.item, merge_assets([told.stands, *told.replicas]), {})


def sort_out(group: Group, *, prefer: Preference) -> Told:
    """Decide who stands: the best of the copies at the group's place in the order, and what the others are to it."""
    alike = [row for row in group if row.key == group[0].key]
    stands = min(alike, key=prefer)
    here = [identify(row.item, "observation") for row in alike]
    replicas = [row for row in alike if row is not stands]
    others: list[tuple[Row, str]] = []
    for row in group[len(alike) :]:
        identity = identify(row.item, "observation")
        rungs = {relation(ours, identity) for ours in here}
        if "replica" in rungs:
            replicas.append(row)
        else:
            others.append((row, "product" if "product" in rungs else "observation"))
    return Told(
        stands=stands,
        replicas=sorted(replicas, key=prefer),
        others=sorted(others, key=lambda pair: (pair[1] != "product", prefer(pair[0]))),
    )


def _rendered(item: Members, sites: tuple[str, ...], base: str) -> Members:
    collection, item_id = _TEXT.decode(item["collection"]), _TEXT.decode(item["id"])
    return item | {
        "links": own_links(item.get("links"), base, collection, item_id),
        "properties": with_backends(item.get("properties", _NONE), sites),
    }


def _with_copies(told: Told) -> Members:
    merged = merge_assets([told.stands, *told.replicas])
    added: Json = {"federation:copies": [_copy(row, rung) for row, rung in _all(told)]}
    if merged.conflicts:
        added["federation:conflicts"] = merged.conflicts
    return _with_assets(told.stands.item, merged, added)


def _with_assets(item: Members, merged: Merged, added: Json) -> Members:
    if merged.schemes:
        added = added | {"storage:schemes": merged.schemes}
    return item | {
        "assets": _raw(merged.assets),
        "properties": _with_properties(item.get("properties", _NONE), added),
        "stac_extensions": _raw(_extensions(item, merged.extensions)),
    }


def _with_properties(properties: msgspec.Raw, added: Json) -> msgspec.Raw:
    if not added:
        return properties
    return _raw(_MEMBERS.decode(properties) | {name: _raw(value) for name, value in added.items()})


def _all(told: Told) -> Sequence[tuple[Row, str]]:
    return [(told.stands, "self"), *((row, "replica") for row in told.replicas), *told.others]


def _copy(row: Row, rung: str) -> Json:
    return {
        "backend": row.site,
        "relation": rung,
        "collection": _TEXT.decode(row.item["collection"]),
        "id": _TEXT.decode(row.item["id"]),
        "availability": availability(row.item),
    }


def _extensions(item: Members, used: Sequence[str]) -> list[str]:
    """Return the item's extensions with those that the merged assets use, in whatever version it names already."""
    try:
        told = _TEXTS.decode(item.get("stac_extensions", b"[]"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = []
    return [*told, *(extension for extension in used if extension not in told)]


def _link(row: Row, rung: str, base: str) -> Json:
    collection, item_id = _TEXT.decode(row.item["collection"]), _TEXT.decode(row.item["id"])
    what = "The same product" if rung == "product" else "Another production of the same observation"
    return {
        "rel": "related",
        "href": url_of(base, "collections", collection, "items", item_id),
        "type": GEOJSON_TYPE,
        "title": f"{what}, at {row.site}",
        "federation:relation": rung,
        "federation:backends": [row.site],
    }


def _with_links(links: msgspec.Raw, more: Sequence[Json]) -> msgspec.Raw:
    """Append links to an array of some, without decoding it."""
    return msgspec.Raw(bytes(links)[:-1] + b"," + msgspec.json.encode(more)[1:])


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
