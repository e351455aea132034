"""Errors of a site as RFC 9457 problem+json, and what browsers need to read the catalogue from other pages."""

import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from edges.errors import InvalidInput

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Expose-Headers": "Location",
    "Access-Control-Max-Age": "3600",
}
_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def problem(status: int, title: str, detail: str, **members: str) -> web.Response:
    """Return a problem response (RFC 9457 section 3)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **members}
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/problem+json")


@web.middleware
async def problems_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem; one that nobody expected is logged with its trace and told without it."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = problem(error.status, error.reason, error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except InvalidInput as error:
        return problem(error.status, error.title, str(error), field=error.field)
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may leave as a bare 500
        return _of_error(request, error)


def _of_error(request: web.Request, error: Exception) -> web.Response:
    status, title = getattr(error, "status", None), getattr(error, "title", None)
    if isinstance(status, int) and isinstance(title, str):
        response = problem(status, title, str(error) or title)
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
    _log.error("request failed", exc_info=error, extra={"method": request.method, "path": request.path})
    return problem(500, "Internal error", "the catalogue failed at this request; its log says why")


@web.middleware
async def cors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let browsers read the catalogue from other pages; without credentials, for no cookie is ever set."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204, headers=_CORS)
    response = await handler(request)
    if not response.prepared:
        response.headers.update(_CORS)
        response.headers.update(_SAFE)
    return response
