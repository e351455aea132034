"""Errors as RFC 9457 problem+json, for every face whose client expects nothing else. Pure."""

import math
from typing import Any

import msgspec
from aiohttp import web

from edges.errors import InvalidInput
from gateway.quota.problem import quota_problem
from quotas.errors import QuotaExceeded

PROBLEM = "application/problem+json"


def problem(status: int, title: str, detail: str, **members: Any) -> web.Response:
    """Return a problem response (RFC 9457 section 3)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    return web.Response(status=status, body=msgspec.json.encode(body), content_type=PROBLEM)


def problem_of(error: Exception) -> web.Response | None:
    """Return the response for an error that says its own status, or None for one that we did not expect."""
    if isinstance(error, web.HTTPException):
        if error.status < 400:
            return None
        return _headed(problem(error.status, error.reason, error.text or error.reason), error)
    status = getattr(error, "status", None)
    title = getattr(error, "title", None)
    if not isinstance(status, int) or not isinstance(title, str):
        return None
    if isinstance(error, InvalidInput):
        return problem(status, title, str(error), field=error.field, wrong=error.wrong, expected=error.right)
    if isinstance(error, QuotaExceeded):
        return quota_problem(error)
    kind = getattr(error, "type", None)
    members: dict[str, Any] = getattr(error, "members", {})
    response = problem(status, title, str(error), **members, **({"type": kind} if isinstance(kind, str) else {}))
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="lakegate"'
    pause = getattr(error, "retry_after", None)
    if isinstance(pause, int | float):
        response.headers["Retry-After"] = str(math.ceil(pause))
    return response


def _headed(response: web.Response, error: web.HTTPException) -> web.Response:
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response
