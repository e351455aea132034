"""The OpenAPI 3.1 description of what the gateway serves. Pure."""

import re

from edges.model import Json
from gateway.stac.openapi_operations import OPERATIONS, PARAMETERS, Operation
from gateway.stac.openapi_schemas import SCHEMAS, STRING, ref

_MEANING = {
    101: "The protocol is switched to websocket",
    200: "OK",
    201: "Created",
    204: "Done",
    206: "The range that was asked for",
    302: "It is there",
    303: "Go on there",
    304: "Not changed since",
    307: "The data is there, at an address that lives for minutes",
    400: "A value is wrong; the problem names it",
    401: "Authentication required",
    403: "Not yours",
    404: "Not found",
    406: "None of the accepted types can be given",
    408: "The body did not arrive in time",
    409: "Not possible as it stands",
    410: "Dismissed already",
    412: "It has changed since it was read",
    413: "The body is too large",
    416: "No byte of the range exists",
    422: "Cannot be done as asked",
    415: "The body is no JSON",
    429: "Quota exceeded; the problem explains",
    502: "No site answered",
    501: "Not offered here",
    503: "Not ready",
}
_FREE: Json = {
    "name": "others",
    "in": "query",
    "required": False,
    "description": "Parameters that are not known here are ignored: clients add their own.",
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": STRING},
}
"""OGC API Features lets unknown parameters pass only where a description allows them."""


def openapi_document(base: str) -> Json:
    """Return the description; ``base`` is the public URL."""
    paths: Json = {}
    for tag, operations in OPERATIONS.items():
        for one in operations:
            paths.setdefault(one.path, {})[one.method] = _described(one, tag)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lakegate",
            "version": "1.0.0",
            "description": "One address for many data lakes. The Dask Gateway and Jupyter faces follow those "
            "projects' own protocols and are only named here.",
        },
        "servers": [{"url": base}],
        "tags": [{"name": tag} for tag in OPERATIONS],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": SCHEMAS,
        },
        "security": [{}, {"bearer": []}],
    }


def _described(one: Operation, tag: str) -> Json:
    name = re.sub(r"[/.-]", "_", re.sub(r"[{}()$]", "", one.path.strip("/")))
    described: Json = {
        "tags": [tag],
        "summary": one.summary,
        "operationId": f"{one.method}_{name or 'landing'}{'_all' if one.path.endswith('/') and name else ''}",
        "parameters": [
            *_path_parameters(one.path),
            *(_query_parameter(name) for name in one.parameters),
            *([_FREE] if tag == "STAC" else []),
        ],
        "responses": {str(status): _response(one, status) for status in sorted(one.statuses)},
    }
    if one.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": one.body}}}
    return described


def _path_parameters(path: str) -> list[Json]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": STRING} for name in names]


def _query_parameter(name: str) -> Json:
    description, schema = PARAMETERS[name]
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _response(one: Operation, status: int) -> Json:
    described: Json = {"description": _MEANING[status]}
    if status in (200, 201):
        described["content"] = {kind: {"schema": one.answer} for kind in one.kinds}
    elif status >= 400:
        described["content"] = {"application/problem+json": {"schema": ref("Problem")}}
    return described
