"""The OpenAPI 3.1 description of what a site serves. Pure."""

from typing import Any, NamedTuple

from edges.model import Json
from edges.stac.aggregation import AGGREGATIONS, INTERVALS
from edges.stac.geohash import MAX_PRECISION
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE

_STRING: Json = {"type": "string"}
_PARAMETERS: dict[str, tuple[str, Json]] = {
    "collections": ("Collection ids, separated by commas.", _STRING),
    "ids": ("Item ids, separated by commas.", _STRING),
    "bbox": ("west,south,east,north in degrees; west > east crosses the antimeridian.", _STRING),
    "intersects": ("A GeoJSON geometry; not together with bbox.", _STRING),
    "datetime": ("An instant or interval (RFC 3339); `..` is an open end.", _STRING),
    "q": ('Words to look for: sea ice,climate or +ice -sea AND "a phrase".', _STRING),
    "limit": ("Items on a page; more than the most is clamped.", {"type": "integer", "minimum": 1}),
    "sortby": ("Fields, as -datetime,+eo:cloud_cover; nulls stand last.", _STRING),
    "fields": ("What to include, and with - to exclude.", _STRING),
    "query": ("The Query extension, JSON.", _STRING),
    "filter": ("A CQL2 filter.", _STRING),
    "filter-lang": ("How the filter is written.", {"type": "string", "enum": ["cql2-text", "cql2-json"]}),
    "filter-crs": ("CRS84 only.", _STRING),
    "token": ("The token of a next link.", _STRING),
}
_AGGREGATIONS: dict[str, tuple[str, Json]] = {
    "aggregations": ("What to aggregate, separated by commas: see /aggregations.", _STRING),
    "datetime_frequency_interval": ("Of datetime_frequency.", {"type": "string", "enum": list(INTERVALS)}),
    **{
        f"{name}_precision": ("Characters of a geohash.", {"type": "integer", "minimum": 1, "maximum": MAX_PRECISION})
        for name, one in AGGREGATIONS.items()
        if one.kind == "cells"
    },
}
_SEARCH = tuple(_PARAMETERS)
_AGGREGATE = (
    *(name for name in _SEARCH if name not in ("limit", "sortby", "fields", "token")), *_AGGREGATIONS
)  # fmt: skip
_ITEMS = tuple(name for name in _PARAMETERS if name != "collections")


class _Operation(NamedTuple):
    path: str
    method: str
    summary: str
    statuses: tuple[int, ...]
    kind: str = JSON_TYPE
    parameters: tuple[str, ...] = ()
    body: str = ""


_ONE = "/collections/{collection}"
_READING = (
    _Operation("/", "get", "Landing page", (200,)),
    _Operation("/health", "get", "Whether the catalogue answers", (200, 503)),
    _Operation("/conformance", "get", "Conformance classes", (200,)),
    _Operation("/api", "get", "This description", (200,)),
    _Operation("/api.html", "get", "This description, for a person", (200,), kind="text/html"),
    _Operation("/collections", "get", "All collections", (200,)),
    _Operation(_ONE, "get", "One collection", (200, 404)),
    _Operation(f"{_ONE}/items", "get", "Its items", (200, 400, 404), GEOJSON_TYPE, _ITEMS),
    _Operation(f"{_ONE}/items/{{item}}", "get", "One item", (200, 404), GEOJSON_TYPE),
    _Operation(f"{_ONE}/queryables", "get", "What can be asked for", (200, 404)),
    _Operation(f"{_ONE}/sortables", "get", "What can be sorted by", (200, 404)),
    _Operation("/search", "get", "Search", (200, 400, 503), GEOJSON_TYPE, _SEARCH),
    _Operation("/search", "post", "Search", (200, 400, 413, 503), GEOJSON_TYPE, body=JSON_TYPE),
    _Operation("/queryables", "get", "What can be asked for", (200,)),
    _Operation("/sortables", "get", "What can be sorted by", (200,)),
)
_COUNTING = tuple(
    _Operation(f"{root}/{path}", method, summary, statuses, parameters=parameters, body=body)
    for root, statuses in (("", (200, 400, 503)), (_ONE, (200, 400, 404, 503)))
    for path, method, summary, parameters, body in (
        ("aggregations", "get", "What can be aggregated", (), ""),
        ("aggregate", "get", "Counts of what matches", _AGGREGATE, ""),
        ("aggregate", "post", "Counts of what matches", (), JSON_TYPE),
    )
)
_WRITING = (
    _Operation("/collections", "post", "Create a collection", (201, 400, 401, 409), body=JSON_TYPE),
    _Operation(_ONE, "put", "Create or replace a collection", (200, 400, 401), body=JSON_TYPE),
    _Operation(f"{_ONE}/items", "post", "Create items", (201, 400, 401, 404, 409, 413), body=GEOJSON_TYPE),
    _Operation(
        f"{_ONE}/items", "put", "Create or replace items, all or none", (204, 400, 401, 404, 413), body=GEOJSON_TYPE
    ),
    _Operation(f"{_ONE}/items/{{item}}", "put", "Replace an item", (200, 400, 401, 404, 413), body=GEOJSON_TYPE),
    _Operation(f"{_ONE}/items/{{item}}", "delete", "Delete an item", (204, 401, 404)),
)
_MEANING = {
    200: "OK",
    201: "Created",
    204: "Deleted",
    400: "A value is wrong; the problem names it",
    401: "The write token is missing or wrong",
    404: "Not found",
    409: "It exists already",
    413: "The body is too large",
    503: "The catalogue cannot answer now",
}


def openapi_document(base: str, title: str, *, writable: bool, counts: bool = False) -> Json:
    """Return the description; ``base`` is the public URL."""
    paths: Json = {}
    for one in (*_READING, *(_COUNTING if counts else ()), *(_WRITING if writable else ())):
        paths.setdefault(one.path, {})[one.method] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1.0.0"},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {"securitySchemes": {"writeToken": {"type": "http", "scheme": "bearer"}}} if writable else {},
    }


def _described(one: _Operation) -> Json:
    name = one.path.replace("/", "_").replace(".", "_").replace("{", "").replace("}", "")
    described: Json = {
        "summary": one.summary,
        "operationId": f"{one.method}{name}",
        "parameters": [
            *({"name": step, "in": "path", "required": True, "schema": _STRING} for step in _steps(one.path)),
            *(_parameter(parameter) for parameter in one.parameters),
        ],
        "responses": {str(status): _response(status, one.kind) for status in one.statuses},
    }
    if one.body:
        content = {one.body: {"schema": {"type": "object"}}}
        described["requestBody"] = {"required": one.path != "/search", "content": content}
    if 401 in one.statuses:
        described["security"] = [{"writeToken": []}]
    return described


def _steps(path: str) -> list[str]:
    return [step[1:-1] for step in path.split("/") if step.startswith("{")]


def _parameter(name: str) -> Json:
    description, schema = _PARAMETERS.get(name) or _AGGREGATIONS[name]
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _response(status: int, kind: str) -> Json:
    described: dict[str, Any] = {"description": _MEANING[status]}
    if status != 204:
        described["content"] = {kind if status < 400 else "application/problem+json": {}}
    return described
