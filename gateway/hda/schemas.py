"""Queryables as clients of HDA read them: JSON Schema 2019-09, with the values that are left. Pure.

Notebooks read ``enum``, ``const``, ``default`` and ``required``, of a property or of its ``items``. Values are listed
only where they are all that there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edges.model import Frozen, Json, Members

SCHEMA = "https://json-schema.org/draft/2019-09/schema"
MOST_VALUES = 200
"""Values that are listed of what was seen of items."""
_KINDS = {bool: "boolean", int: "number", float: "number", str: "string"}
_UNTOLD = frozenset(
    {"datetime", "start_datetime", "end_datetime", "created", "updated", "federation:backends", "title", "description"}
)
ALWAYS: Json = {
    "datetime": {
        "title": "Date and Time",
        "description": "The searchable date/time of the assets, in UTC (RFC 3339)",
        "type": ["string", "null"],
        "format": "date-time",
        "pattern": "(\\+00:00|Z)$",
    },
}


class Told(Frozen):
    """What one site tells: ``properties`` by name, which are ``required``, and whether there are no others."""

    properties: Mapping[str, Json] = {}
    required: frozenset[str] = frozenset()
    closed: bool = False

    @property
    def tells(self) -> bool:
        """Tell whether it says more than names: some values, or that there are no other names."""
        return self.closed or any(
            _values(each) or _values(each.get("items") or {}) for each in self.properties.values()
        )


def of_schema(schema: Json) -> Told:
    """Return what a site's own schema tells."""
    required = schema.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return Told(
        properties=schema["properties"],
        required=frozenset(names),
        closed=schema.get("additionalProperties") is False,
    )


def of_summaries(collection: Json) -> Told:
    """Return what a collection's summaries tell; a set of texts is all the values that there are."""
    found: dict[str, Json] = {}
    for name, summary in (collection.get("summaries") or {}).items():
        if name in _UNTOLD:
            continue
        if isinstance(summary, list) and summary and all(isinstance(value, str | int | float) for value in summary):
            found[name] = _listed(name, summary, whole=True)
        elif isinstance(summary, dict) and {"minimum", "maximum"} & summary.keys():
            found[name] = {"title": name, "type": "number"} | {
                bound: summary[bound] for bound in ("minimum", "maximum") if isinstance(summary.get(bound), int | float)
            }
    return Told(properties=found)


def of_items(items: Iterable[Members], *, whole: bool) -> Told:
    """Return what was seen of items; ``whole``: these are all that there are, so their values are, too."""
    values: dict[str, list[Any]] = {}
    arrays: set[str] = set()
    for item in items:
        properties: Any = msgspec.json.decode(item["properties"])
        for name, value in properties.items():
            if name in _UNTOLD or value is None or isinstance(value, dict):
                continue
            if isinstance(value, list):
                arrays.add(name)
            values.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    found: dict[str, Json] = {}
    for name, seen in values.items():
        if all(isinstance(value, str | int | float) for value in seen) and seen:
            told = _listed(name, seen, whole=whole)
            found[name] = told if name not in arrays else {"title": name, "type": "array", "items": _inner(told)}
    return Told(properties=found)


def _inner(told: Json) -> Json:
    return {name: value for name, value in told.items() if name != "title"}


def _listed(name: str, seen: Sequence[Any], *, whole: bool) -> Json:
    kinds = {_KINDS[type(value)] for value in seen}
    kind = next(iter(kinds)) if len(kinds) == 1 else sorted(kinds)
    distinct = sorted(set(seen), key=str)
    told: Json = {"title": name.rpartition(":")[2], "type": kind}
    if not whole or len(distinct) > MOST_VALUES:
        return told
    return told | ({"const": distinct[0]} if len(distinct) == 1 else {"enum": distinct})


def united(told: Sequence[Told]) -> Told:
    """Return what several sites tell together: any of their values, required only where all require it."""
    names = dict.fromkeys(name for each in told for name in each.properties)
    return Told(
        properties={
            name: _united([each.properties[name] for each in told if name in each.properties]) for name in names
        },
        required=frozenset.intersection(*(each.required for each in told)) if told else frozenset(),
        closed=bool(told) and all(each.closed for each in told),
    )


def _united(schemas: Sequence[Json]) -> Json:
    first = schemas[0]
    if len(schemas) == 1:
        return first
    plain = {name: value for name, value in first.items() if name not in ("enum", "const", "items")}
    inner = [each["items"] for each in schemas if isinstance(each.get("items"), dict)]
    if inner:
        plain["items"] = _united(inner)
    values = [_values(each) for each in schemas]
    if any(each is None for each in values):
        return plain
    distinct = sorted({_plain(value) for each in values for value in each or ()}, key=str)
    return plain | ({"const": distinct[0]} if len(distinct) == 1 else {"enum": distinct})


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else str(value)


def _values(schema: Json) -> list[Any] | None:
    """Return all the values that a schema allows; None where it does not list them."""
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    return [schema["const"]] if "const" in schema else None


def document(own: str, told: Told) -> Json:
    """Return the document; ``own`` is its address."""
    return {
        "$schema": SCHEMA,
        "$id": own,
        "type": "object",
        "title": "Queryables",
        "description": "Queryable names for this STAC API.",
        "properties": ALWAYS | dict(told.properties),
        "required": sorted(told.required),
        "additionalProperties": not told.closed,
    }
