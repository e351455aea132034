"""The OpenAPI 3.1 description of what the gateway serves, and a page of it for a person. Pure."""

import html
from typing import Any

from edges.model import Json

OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.1"

_STRING = {"type": "string"}
_PARAMETERS: Json = {
    "collections": ("Collection ids, separated by commas.", _STRING),
    "ids": ("Item ids, separated by commas.", _STRING),
    "bbox": ("west,south,east,north; west > east crosses the antimeridian.", _STRING),
    "intersects": ("A GeoJSON geometry.", _STRING),
    "datetime": ("An instant or interval (RFC 3339), `..` for an open end.", _STRING),
    "limit": ("Items per page; more than the most is clamped.", {"type": "integer", "minimum": 1}),
    "sortby": ("Fields, as -datetime,+eo:cloud_cover; nulls stand last.", _STRING),
    "fields": ("What to include, and with - to exclude.", _STRING),
    "filter": ("A CQL2 filter.", _STRING),
    "filter-lang": ("How the filter is written.", {"type": "string", "enum": ["cql2-text", "cql2-json"]}),
    "token": ("The token of a next link.", _STRING),
    "strict": ("Fail if any site is missing.", {"type": "boolean"}),
    "near": ("The site whose copies stand first.", _STRING),
    "format": ("Of an export.", {"type": "string", "enum": ["ndjson", "geoparquet"]}),
    "records": (
        "What an NDJSON export tells beside the items.",
        {"type": "string", "enum": ["items", "trailer", "checkpoints"]},
    ),
    "max_items": ("Items of an export in all.", {"type": "integer", "minimum": 1}),
    "resume": ("Where an export is to be taken up, as it told.", _STRING),
}
_OF_EXPORTS = ("format", "records", "max_items", "resume")
_SEARCH = tuple(name for name in _PARAMETERS if name not in _OF_EXPORTS)
_EXPORT = tuple(name for name in _PARAMETERS if name not in ("limit", "token"))
_ITEMS = tuple(name for name in _SEARCH if name != "collections")

# path, method, summary, query parameters, has a body, statuses
_OPERATIONS: tuple[tuple[str, str, str, tuple[str, ...], bool, tuple[int, ...]], ...] = (
    ("/", "get", "Landing page", (), False, (200,)),
    ("/conformance", "get", "Conformance classes", (), False, (200,)),
    ("/collections", "get", "All harmonised collections", (), False, (200,)),
    ("/collections/{collection}", "get", "One collection", (), False, (200, 404)),
    ("/collections/{collection}/items", "get", "Its items", _ITEMS, False, (200, 400, 404, 502)),
    (
        "/collections/{collection}/items/{item}",
        "get",
        "One item with its copies",
        ("near",),
        False,
        (200, 404, 502),
    ),
    ("/collections/{collection}/queryables", "get", "What can be asked for", (), False, (200, 404)),
    ("/collections/{collection}/sortables", "get", "What can be sorted by", (), False, (200, 404)),
    ("/search", "get", "Search all sites", _SEARCH, False, (200, 400, 429, 502)),
    ("/search", "post", "Search all sites", ("near",), True, (200, 400, 429, 502)),
    ("/search/export", "get", "All matches as a stream", _EXPORT, False, (200, 400, 406, 429, 502)),
    ("/search/export", "post", "All matches as a stream", (), True, (200, 400, 406, 429, 502)),
    ("/queryables", "get", "What can be asked for", (), False, (200,)),
    ("/sortables", "get", "What can be sorted by", (), False, (200,)),
    ("/sites", "get", "The sites and how they are", (), False, (200,)),
    ("/sites/{site}", "get", "One site", (), False, (200, 404)),
    ("/placement", "post", "Where to compute, and why", (), True, (200, 400)),
    ("/quotas/me", "get", "Where my groups' quotas stand", (), False, (200, 401)),
    ("/quotas/{group}", "get", "Where a group's quotas stand", (), False, (200, 401, 403)),
    ("/quotas/{group}/history", "get", "What was charged", (), False, (200, 401, 403)),
    ("/auth/me", "get", "Who I am here", (), False, (200, 401)),
    ("/admin/tokens", "get", "The issued API tokens", (), False, (200, 401, 403)),
    ("/admin/tokens", "post", "Issue an API token", (), True, (201, 400, 401, 403)),
    ("/admin/tokens/{token}", "delete", "Revoke an API token", (), False, (200, 401, 403, 404)),
    ("/quotas/check", "post", "What a reservation would answer", (), True, (200, 400, 401)),
    ("/processes", "get", "The processes", (), False, (200,)),
    ("/processes/{process}", "get", "One process", (), False, (200, 404)),
    ("/processes/{process}/execution", "post", "Start a job", (), True, (200, 201, 400, 401, 404, 429)),
    ("/jobs", "get", "My group's jobs", (), False, (200, 401)),
    ("/jobs/{job}", "get", "How a job is", (), False, (200, 401, 404)),
    ("/jobs/{job}", "delete", "Dismiss a job", (), False, (200, 401, 404, 410)),
    ("/jobs/{job}/results", "get", "What a job has brought", (), False, (200, 401, 404)),
    ("/health", "get", "Whether the gateway works", (), False, (200,)),
    ("/metrics", "get", "Prometheus metrics", (), False, (200,)),
)
_MEANING = {
    200: "OK",
    201: "Created",
    400: "A value is wrong; the problem names it",
    401: "Authentication required",
    403: "Not yours",
    404: "Not found",
    406: "None of the accepted types can be given",
    410: "Dismissed already",
    429: "Quota exceeded; the problem explains",
    502: "No site answered",
}


def openapi_document(base: str) -> Json:
    """Return the description; ``base`` is the public URL."""
    paths: Json = {}
    for path, method, summary, parameters, has_body, statuses in _OPERATIONS:
        operation: Json = {
            "summary": summary,
            "operationId": f"{method}{path.replace('/', '_').replace('{', '').replace('}', '')}",
            "parameters": [*_path_parameters(path), *(_query_parameter(name) for name in parameters)],
            "responses": {str(status): _response(status) for status in statuses},
        }
        if has_body:
            operation["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}}
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lakegate",
            "version": "1.0.0",
            "description": "One address for many data lakes. The Dask Gateway and Jupyter faces follow those "
            "projects' own protocols and are not repeated here.",
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"bearer": []}],
    }


def openapi_page(document: Json) -> str:
    """Return the operations as a plain HTML page."""
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation['summary'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Lakegate API</title>"
        "<style>body{font-family:sans-serif;margin:2em;max-width:60em}td{padding:.2em 1em .2em 0}</style>"
        f"<h1>Lakegate API</h1><p>{html.escape(document['info']['description'])} "
        '<a href="api">OpenAPI document</a></p>'
        f"<table>{rows}</table></html>"
    )


def _path_parameters(path: str) -> list[Json]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": _STRING} for name in names]


def _query_parameter(name: str) -> Json:
    description, schema = _PARAMETERS[name]
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _response(status: int) -> Json:
    kind = "application/json" if status < 400 else "application/problem+json"
    content: dict[str, Any] = {kind: {"schema": {"type": "object"}}}
    return {"description": _MEANING[status], "content": content}
