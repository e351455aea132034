"""What surrounds every request: errors as problems, an access log, metrics, CORS and security headers."""

import asyncio
import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry

from gateway.problems import problem, problem_of
from gateway.tallies import Spreads, Tallies

_log = logging.getLogger(__name__)
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range,"
    " Prefer, Range, X-API-Key, X-Lakegate-Group",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Disposition, Content-Range, ETag, Link, Location,"
    " Retry-After, RateLimit, RateLimit-Policy",
    "Access-Control-Max-Age": "3600",
}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that may be a label; a client can send any word."""
_OPEN_TO_BROWSERS = frozenset(
    {
        *("", "search", "collections", "collections-queryables", "collections-sortables", "catalogs", "children"),
        *("conformance", "api", "api.html", "queryables", "sortables", "aggregations", "aggregate", "sites"),
        *("stac", "services", "data"),
    }
)
"""First path segments that pages of other origins may read; but nothing below ``/api/``, which runs code."""


@web.middleware
async def problems_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem; one that nobody expected is logged with its trace and told without it."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = problem_of(error)
        if response is None:
            raise
        return response
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may leave as a bare 500
        response = problem_of(error)
        if response is not None:
            return response
        _log.exception("request failed", extra={"method": request.method, "route": route_of(request)})
        return problem(500, "Internal error", "the gateway failed at this request; its log says why")


class BodyTooSlow(Exception):
    """The body of a request did not come in time."""

    status = 408
    title = "Request timeout"


def body_time_middleware(seconds: float, patient: Callable[[web.Request], bool] = lambda _: False) -> Middleware:
    """Return a middleware that gives the body of every request so many seconds to arrive, whoever reads it.

    Where a face is ``patient``, it bounds by itself how long its bodies may pause.
    """

    @web.middleware
    async def timed(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.body_exists or request.content.is_eof() or patient(request):
            return await handler(request)

        def expire() -> None:
            if not request.content.is_eof():
                request.content.set_exception(BodyTooSlow(f"the body did not arrive within {seconds:g} s"))

        timer = asyncio.get_running_loop().call_later(seconds, expire)
        try:
            return await handler(request)
        finally:
            timer.cancel()

    return timed


def _open_to_browsers(request: web.Request) -> bool:
    first, _, _ = request.path.removeprefix("/").partition("/")
    return first in _OPEN_TO_BROWSERS and not request.path.startswith("/api/")


async def open_to_browsers(request: web.Request, response: web.StreamResponse) -> None:
    """Let browsers read an answer from other pages, streams as well. Without credentials: no cookie counts there."""
    if _open_to_browsers(request):
        response.headers.update(_CORS)


@web.middleware
async def browsers_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell browsers beforehand what pages of other origins may ask, and how they treat what they get."""
    open_face = _open_to_browsers(request)
    if open_face and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)
    response = await handler(request)
    if open_face and request.method == "OPTIONS" and response.status == 405:  # nobody handles it: tell what is handled
        response = web.Response(status=204, headers={"Allow": f"{response.headers.get('Allow', 'GET, HEAD')},OPTIONS"})
    if not response.prepared:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Server", "lakegate")  # and not which versions of what
    return response


def route_of(request: web.Request) -> str:
    """Return the route's pattern: a label of bounded variety, never the path that a user chose."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


class RequestMetrics:
    """Counts and times requests by route, method and status class."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Tallies(
            "lakegate_requests", "Requests by route and outcome.", ("route", "method", "outcome"), registry=registry
        )
        self._seconds = Spreads(
            "lakegate_request_seconds", "Time to answer.", "route", bounds=_BUCKETS, registry=registry
        )

    def middleware(self) -> Middleware:
        """Return the middleware."""

        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = time.perf_counter()
            outcome = "5xx"
            try:
                response = await handler(request)
                outcome = f"{response.status // 100}xx"
            finally:
                route = route_of(request)
                self._requests.add(route, request.method if request.method in METHODS else "other", outcome)
                self._seconds.observe(route, time.perf_counter() - started)
            return response

        return measure
