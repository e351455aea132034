"""The processes as they are described (OGC API Processes 1.0, sections 7.9 and 7.10). Pure."""

from typing import Any

from edges.model import Json

HARVEST = "harvest"
ESTIMATE = "harvest-estimate"
CONFORMANCE = tuple(
    f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{name}"
    for name in ("core", "json", "ogc-process-description", "job-list", "dismiss", "callback", "oas30")
)

_STRINGS: Json = {"type": "array", "items": {"type": "string"}}


def _input(title: str, schema: Any, *, required: bool = False) -> Json:
    return {"title": title, "schema": schema, "minOccurs": int(required), "maxOccurs": 1}


_INPUTS: Json = {
    "target": _input("The edge whose bucket receives the copies", {"type": "string"}, required=True),
    "collections": _input("Collection ids", _STRINGS),
    "ids": _input("Item ids", _STRINGS),
    "bbox": _input("west, south, east, north in degrees", {"type": "array", "items": {"type": "number"}}),
    "intersects": _input("A GeoJSON geometry", {"type": "object"}),
    "datetime": _input("An instant or interval (RFC 3339)", {"type": "string"}),
    "filter": _input("A CQL2 filter: an object (cql2-json) or a text (cql2-text)", {"type": ["object", "string"]}),
    "assets": _input("Asset keys; all where left out", _STRINGS),
    "bucket": _input("The target's bucket; its default where left out", {"type": "string"}),
    "prefix": _input("A folder below the group's own, or a template as {collection}/{item_id}/", {"type": "string"}),
    "mode": _input("Assets, or items alone", {"type": "string", "enum": ["data", "catalogue"], "default": "data"}),
    "lifetime": _input("How long the copies are counted on (ISO 8601)", {"type": "string", "format": "duration"}),
    "temporary": _input("In no catalogue, read by signed links", {"type": "boolean", "default": False}),
    "priority": _input("5 is the most urgent", {"type": "integer", "minimum": 1, "maximum": 5, "default": 3}),
    "executor": _input("Who carries the bytes", {"type": "string", "enum": ["local", "dask", "kubernetes"]}),
    "notify": _input("Webhooks: {url, events, secret}", {"type": ["object", "array"]}),
    "integrity": _input(
        "What counts as proof of a copy", {"type": "string", "enum": ["require", "prefer", "size"], "default": "prefer"}
    ),
}

PROCESSES: dict[str, Json] = {
    HARVEST: {
        "id": HARVEST,
        "version": "1.0.0",
        "title": "Harvest",
        "description": "Copies the assets of all matching items into the target edge's bucket, verifies them, and "
        "registers the copies as replicas in its catalogue. What is there already is not copied again.",
        "keywords": ["harvest", "replica", "S3", "STAC"],
        "jobControlOptions": ["async-execute", "dismiss"],
        "outputTransmission": ["value"],
        "inputs": _INPUTS,
        "outputs": {"objects": {"title": "The copies, and what failed", "schema": {"type": "object"}}},
    },
    ESTIMATE: {
        "id": ESTIMATE,
        "version": "1.0.0",
        "title": "Harvest estimate",
        "description": "Says what a harvest would copy and whether there is quota for it. Nothing is written.",
        "keywords": ["harvest", "dry run"],
        "jobControlOptions": ["sync-execute"],
        "outputTransmission": ["value"],
        "inputs": _INPUTS,
        "outputs": {"estimate": {"title": "Items, objects, bytes, quota", "schema": {"type": "object"}}},
    },
}


def summary(process: Json, base: str) -> Json:
    """Return a process for the list."""
    told = {name: value for name, value in process.items() if name not in ("inputs", "outputs")}
    return told | {"links": [{"rel": "self", "href": f"{base}/processes/{process['id']}", "type": "application/json"}]}


def description(process: Json, base: str) -> Json:
    """Return a whole description."""
    execute = {
        "rel": "http://www.opengis.net/def/rel/ogc/1.0/execute",
        "href": f"{base}/processes/{process['id']}/execution",
        "type": "application/json",
    }
    return process | {"links": [*summary(process, base)["links"], execute]}
