"""Queryables and sortables (OGC API Features part 3 and 5) of harmonised collections. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from edges.model import Json, Members
from edges.stac.order import INSTANT_FIELDS
from edges.stac.schemas import ALWAYS, queryables_document, sortables_document

_BACKENDS = "federation:backends"


_KINDS = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_SORTABLE = frozenset({"boolean", "number", "string"})


def queryables(collections: Sequence[Json], seen: Json, own: str) -> Json:
    """Return what can be asked for, from the collections' summaries and what was seen of items."""
    return queryables_document(_known(collections, seen), own)


def sortables(collections: Sequence[Json], seen: Json, own: str) -> Json:
    """Return what can be sorted by, from the collections' summaries and what was seen of items."""
    known = _known(collections, seen)
    return sortables_document({name: one for name, one in known.items() if _kinds(one) <= _SORTABLE}, own)


def observed(items: Iterable[tuple[str, Members]]) -> Json:
    """Return a schema for each property of some items, given with their sites; one of several types tells them all."""
    kinds: dict[str, set[str]] = {}
    sites: dict[str, set[str]] = {}
    for site, item in items:
        properties: Any = msgspec.json.decode(item["properties"])
        for name, value in properties.items():
            if value is not None and name not in ALWAYS:
                kinds.setdefault(name, set()).add(_KINDS[type(value)])
                sites.setdefault(name, set()).add(site)
    return {name: _observed(name, sorted(kinds[name]), sites[name]) for name in sorted(kinds)}


def all_observed(samples: Iterable[Json]) -> Json:
    """Return the schemas of several samples as of one."""
    found: Json = {}
    for sample in samples:
        for name, schema in sample.items():
            known: Json = found.get(name) or schema
            kinds, sites = _kinds(known) | _kinds(schema), {*known[_BACKENDS], *schema[_BACKENDS]}
            found[name] = _observed(name, sorted(kinds), sites)
    return found


def told_by(site: str, queryables: Json) -> Json:
    """Return what a site itself says that its items can be asked for, as if it had been seen."""
    return {name: schema | {_BACKENDS: [site]} for name, schema in queryables.items() if name not in ALWAYS}


def _observed(name: str, kinds: list[str], sites: set[str]) -> Json:
    schema: Json = {"title": name, "type": kinds[0] if len(kinds) == 1 else kinds, _BACKENDS: sorted(sites)}
    return schema | {"format": "date-time"} if name in INSTANT_FIELDS and kinds == ["string"] else schema


def _kinds(schema: Json) -> set[str]:
    kind = schema["type"]
    return set(kind) if isinstance(kind, list) else {kind}


def _known(collections: Sequence[Json], seen: Json) -> Json:
    """Return the schemas of both; a summary tells more than a look."""
    known = dict(seen)
    for name, schema in _summarised(collections).items():
        sites = {*schema[_BACKENDS], *known.get(name, {}).get(_BACKENDS, ())}
        known[name] = known.get(name, {}) | schema | {_BACKENDS: sorted(sites)}
    return known


def collection_queryables(own: str) -> Json:
    """Return what Collection Search can be asked for."""
    members = _OF_COLLECTIONS | {"summaries": {"title": "Summaries; summaries.platform is one of them"}}
    return queryables_document(members, own) | {"title": "Queryables of collections"}


def collection_sortables(own: str) -> Json:
    """Return what Collection Search can be sorted by."""
    sortable = {name: schema for name, schema in _OF_COLLECTIONS.items() if schema["type"] == "string"}
    return sortables_document(sortable, own) | {"title": "Sortables of collections"}


_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}
_OF_COLLECTIONS: dict[str, Json] = {
    "title": {"title": "Title"} | _TEXT,
    "description": {"title": "Description"} | _TEXT,
    "license": {"title": "Licence"} | _TEXT,
    "keywords": {"title": "Keywords", "type": "array", "items": _TEXT},
    "start_datetime": {"title": "Begin of the extent in time"} | _TIME,
    "end_datetime": {"title": "End of the extent in time"} | _TIME,
    "federation:backends": {"title": "Sites that hold it", "type": "array", "items": _TEXT},
}


def _summarised(collections: Sequence[Json]) -> Json:
    found: Json = {}
    for collection in collections:
        sites = collection.get(_BACKENDS, [])
        for name, summary in (collection.get("summaries") or {}).items():
            schema = _of_summary(name, summary)
            if schema is not None and name not in ALWAYS:
                told = found.setdefault(name, schema | {_BACKENDS: []})
                told[_BACKENDS] = sorted({*told[_BACKENDS], *sites})
    return found


def _of_summary(name: str, summary: Any) -> Json | None:
    if isinstance(summary, list) and summary and all(isinstance(value, str) for value in summary):
        return {"title": name, "type": "string", "examples": sorted(set(summary))[:50]}
    values = summary if isinstance(summary, list) else []
    if isinstance(summary, dict):
        values = [summary.get("minimum"), summary.get("maximum")]
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {"title": name, "type": "number"}
    return None
