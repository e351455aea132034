"""PURE: the options that users see, made of our own and of what the edges offer; and what goes back to one edge.

The client (dask-gateway 2026.3) passes ``spec`` on as keyword arguments: a member that it does not know breaks it, so
that only known members of known types pass.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from edges.compute.model import MARK_FIELD
from edges.errors import InvalidInput
from edges.model import Frozen, Json, Query
from gateway.dask import gpus
from gateway.placement.requests import read_prefix, read_queries

AUTO = "auto"
OWN_FIELDS = ("edge", "collections", "items", "search", "prefix")
RESERVED = frozenset({*OWN_FIELDS, gpus.FIELD, MARK_FIELD})
"""What no edge's option may be called."""
MAX_ITEMS = 1000
PAGE_ITEMS = 500
_SPEC_MEMBERS = {
    "string": frozenset[str](),
    "bool": frozenset[str](),
    "mapping": frozenset[str](),
    "int": frozenset({"min", "max"}),
    "float": frozenset({"min", "max"}),
    "select": frozenset({"options"}),
}
_NUMERIC = ("int", "float")


class Wish(Frozen):
    """What a user asked for: our own options, read; and the rest, which is the edge's to judge."""

    edge: str | None
    collections: tuple[str, ...]
    items: Mapping[str, tuple[str, ...]]
    rest: Mapping[str, Any]
    queries: tuple[Query, ...] = ()
    prefix: str = ""
    gpus: int = 0
    echo: Mapping[str, Any] = {}
    """What of it the user sees again in reports."""


def own_fields(edges: Sequence[str], *, most_gpus: float = 0.0) -> list[Json]:
    """Return our own option fields; that of GPUs where an edge has any."""
    return [
        edge_field(edges, default=AUTO),
        {"field": "collections", "label": "Data collections (comma separated)", "default": "", "spec": _type("string")},
        {"field": "items", "label": "Items (collection: [ids])", "default": {}, "spec": _type("mapping")},
        {"field": "search", "label": "STAC search (collections, bbox, ...)", "default": {}, "spec": _type("mapping")},
        {"field": "prefix", "label": "Bucket prefix (s3://bucket/path/)", "default": "", "spec": _type("string")},
        *gpus.gpu_fields(most_gpus),
    ]


def edge_field(edges: Sequence[str], *, default: str) -> Json:
    """Return the option field of the edge. Each edge is a choice wherever it is shown: kernels have theirs preset."""
    return {
        "field": "edge",
        "label": "Edge site",
        "default": default,
        "spec": {"type": "select", "options": [AUTO, *edges]},
    }


def read_edge(value: object, edges: Sequence[str]) -> str:
    """Read the edge, ``auto`` where none is named.

    Raises:
        InvalidInput: there is none of that name.
    """
    if value in (None, "", AUTO):
        return AUTO
    if not isinstance(value, str) or value not in edges:
        raise InvalidInput("edge", f"unknown edge {str(value)[:64]!r}", f"one of {', '.join([AUTO, *edges])}")
    return value


def merge_fields(offers: Mapping[str, Sequence[Json]]) -> list[Json]:
    """Return one list of fields for several edges: ranges and choices are united, the first edge's default holds.

    A field whose type differs between edges is offered as the first edge has it; the chosen edge validates again.
    """
    merged: dict[str, Json] = {}
    for fields in offers.values():
        for field in fields:
            clean = clean_field(field)
            if clean is None or clean["field"] in RESERVED:
                continue
            name = clean["field"]
            merged[name] = _united(merged[name], clean) if name in merged else clean
    return list(merged.values())


def clean_field(field: Json) -> Json | None:
    """Return an edge's field with known members only, or None where the client could not take it."""
    name, spec = field.get("field"), field.get("spec")
    if not isinstance(name, str) or not name.isidentifier() or len(name) > 64 or not isinstance(spec, dict):
        return None
    known = _SPEC_MEMBERS.get(str(spec.get("type")))
    if known is None or not _plausible(spec):
        return None
    label = field.get("label")
    return {
        "field": name,
        "label": label[:200] if isinstance(label, str) else name,
        "default": field.get("default"),
        "spec": {key: value for key, value in spec.items() if key == "type" or key in known},
    }


def _plausible(spec: Json) -> bool:
    if spec["type"] == "select":
        options = spec.get("options")
        return isinstance(options, list) and bool(options) and all(isinstance(option, str) for option in options)
    bounds = (spec.get("min"), spec.get("max"))
    return all(bound is None or (isinstance(bound, int | float) and not isinstance(bound, bool)) for bound in bounds)


def _united(first: Json, second: Json) -> Json:
    here, there = first["spec"], second["spec"]
    if here["type"] in _NUMERIC and there["type"] in _NUMERIC:
        kind = "int" if here["type"] == there["type"] == "int" else "float"
        spec: Json = {"type": kind} | _range(here, there)
    elif here["type"] == there["type"] == "select":
        spec = {"type": "select", "options": list(dict.fromkeys([*here["options"], *there["options"]]))}
    else:
        return first
    return first | {"spec": spec}


def _range(here: Json, there: Json) -> Json:
    bounds: Json = {}
    for name, choose in (("min", min), ("max", max)):
        # an absent bound is no bound, and wins
        if here.get(name) is not None and there.get(name) is not None:
            bounds[name] = choose(here[name], there[name])
    return bounds


def read_wish(options: Json, edges: Sequence[str], *, most_gpus: float = 0.0) -> Wish:
    """Read the options of a request; ``most_gpus`` is what the edge with the most GPUs has.

    Raises:
        InvalidInput: one of our own options has a wrong value.
    """
    edge = read_edge(options.get("edge"), edges)
    collections = _collections(options.get("collections") or "")
    items = _items(options.get("items") or {})
    search, prefix = options.get("search") or {}, options.get("prefix") or ""
    if not isinstance(search, dict):
        raise InvalidInput("search", f"a {type(search).__name__}", "a mapping with the members of a STAC search")
    read_prefix(prefix)
    wanted = gpus.read_gpus(options.get(gpus.FIELD), most_gpus)
    echo: Json = {"collections": ",".join(collections), "items": {name: list(ids) for name, ids in items.items()}}
    return Wish(
        edge=None if edge == AUTO else edge,
        collections=collections,
        items=items,
        rest={key: value for key, value in options.items() if key not in (*OWN_FIELDS, gpus.FIELD)},
        queries=read_queries(search, page_items=PAGE_ITEMS),
        prefix=prefix,
        gpus=wanted,
        echo=echo
        | {name: value for name, value in (("search", search), ("prefix", prefix), ("gpus", wanted)) if value},
    )


def _collections(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        names: Sequence[object] = value.split(",")
    elif isinstance(value, list):
        names = value
    else:
        raise InvalidInput("collections", f"a {type(value).__name__}", "collection ids, comma separated")
    found = tuple(dict.fromkeys(name.strip() for name in names if isinstance(name, str) and name.strip()))
    if len(found) > MAX_ITEMS:
        raise InvalidInput("collections", f"{len(found)} ids", f"at most {MAX_ITEMS}")
    return found


def _items(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise InvalidInput("items", f"a {type(value).__name__}", "a mapping of collection to a list of item ids")
    found = {str(collection): _ids(ids) for collection, ids in value.items()}
    if sum(len(ids) for ids in found.values()) > MAX_ITEMS:
        raise InvalidInput("items", "too many ids", f"at most {MAX_ITEMS}")
    return found


def _ids(value: object) -> tuple[str, ...]:
    ids = [value] if isinstance(value, str) else value
    if not isinstance(ids, list) or not all(isinstance(item_id, str) for item_id in ids):
        raise InvalidInput("items", "ids that are not texts", "a mapping of collection to a list of item ids")
    return tuple(ids)


def fit_options(rest: Mapping[str, Any], *, edge: str, offered: Sequence[Json], merged: Sequence[Json]) -> Json:
    """Return the options that go to one edge.

    The client sends every field that it was shown: one that this edge lacks is dropped as long as it still has the
    value that we showed.

    Raises:
        InvalidInput: an option that nobody offers, or a chosen value for one that this edge lacks.
    """
    here = {str(field.get("field")) for field in offered} - {MARK_FIELD}
    shown = {field["field"]: field["default"] for field in merged}
    chosen: Json = {}
    for name, value in rest.items():
        if name in here:
            chosen[name] = value
        elif name not in shown:
            raise InvalidInput(name[:64], "unknown option", f"one of {', '.join([*OWN_FIELDS, *shown])}")
        elif value != shown[name]:
            raise InvalidInput(name, f"edge {edge} has no such option", f"one of {', '.join(sorted(here))}")
    return chosen


def unfit(rest: Mapping[str, Any], offers: Mapping[str, Sequence[Json]]) -> dict[str, str]:
    """Return the edges that cannot fulfil a wish for their own options, each with the reason."""
    merged = merge_fields(offers)
    found: dict[str, str] = {}
    for edge, fields in offers.items():
        try:
            chosen = fit_options(rest, edge=edge, offered=fields, merged=merged)
        except InvalidInput as error:
            found[edge] = str(error)
            continue
        bad = [words for field in fields for words in _out_of_bounds(field, chosen)]
        if bad:
            found[edge] = "; ".join(bad)
    return found


def _out_of_bounds(field: Json, chosen: Json) -> list[str]:
    """Say what is wrong with a chosen value, where the field's choices or range tell it."""
    clean = clean_field(field)
    if clean is None or clean["field"] not in chosen:
        return []
    name, value, spec = clean["field"], chosen[clean["field"]], clean["spec"]
    if spec["type"] == "select" and value not in spec["options"]:
        return [f"{name} must be one of {', '.join(spec['options'][:20])}"]
    if spec["type"] in _NUMERIC and isinstance(value, int | float):
        low, high = spec.get("min"), spec.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            return [f"{name} must be within {low} and {high}, got {value}"]
    return []


def takes_mark(offered: Sequence[Json]) -> bool:
    """Tell whether an edge can carry our id in a cluster's options."""
    return any(field.get("field") == MARK_FIELD for field in offered)


def echoed(options: Mapping[str, Any], *, edge: str, wished: Mapping[str, Any]) -> Json:
    """Return the options of a report: the edge's own without our mark, and where the cluster is."""
    own = {key: value for key, value in options.items() if key != MARK_FIELD}
    return own | dict(wished) | {"edge": edge}


def _type(name: str) -> Json:
    return {"type": name}
