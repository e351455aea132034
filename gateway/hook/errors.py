"""Errors in OData's shape: what the gateway tells as a problem is told again as OData's clients expect it.

Source: OData JSON Format 4.01 section 21.1 (``{"error": {"code", "message", "target"}}``).
"""

import re

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from edges.model import Json
from gateway.problems import PROBLEM

_KEPT = ("status", "title", "detail", "field", "type")


@web.middleware
async def odata_errors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Retell problems below ``/odata/``; everything else passes."""
    response = await handler(request)
    if not request.path.startswith("/odata/") or not isinstance(response, web.Response):
        return response
    if response.content_type != PROBLEM or not isinstance(response.body, bytes):
        return response
    told = odata_error(msgspec.json.decode(response.body, type=dict))
    response.headers.popall(hdrs.CONTENT_LENGTH, None)
    response.body = msgspec.json.encode(told)
    response.content_type = "application/json"
    return response


def odata_error(problem: Json) -> Json:
    """Return a problem (RFC 9457) as OData's error.

    >>> odata_error({"title": "Invalid request", "status": 400, "detail": "$top: no", "field": "$top"})
    {'error': {'code': 'InvalidRequest', 'message': '$top: no', 'target': '$top'}}
    """
    title = str(problem.get("title", "Error"))
    error: Json = {
        "code": re.sub(r"[^A-Za-z0-9]", "", title.title()) or "Error",
        "message": str(problem.get("detail") or title),
    }
    if "field" in problem:
        error["target"] = problem["field"]
    more = {name: value for name, value in problem.items() if name not in _KEPT}
    if more:
        error["innererror"] = more
    return {"error": error}
