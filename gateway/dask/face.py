"""REST API v1 of dask-gateway-server 2026.3, for its unmodified client.

Errors have the shape ``{"error": text}``. The client shows the text of 404, 409, 422 and 500 only, so that a quota's
refusal is a 422 here.
"""

import functools
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import hdrs, web

from edges.compute.model import STATUSES
from edges.errors import InvalidInput
from gateway.bodies import read_object
from gateway.dask.clusters import Clusters
from gateway.dask.session import Doorman
from gateway.own_shapes import shaped, told_of
from gateway.principal import Principal

API_VERSION = "2026.3.0"
"""The version of dask-gateway-server whose API this is."""
MAX_WORKERS = 1_000_000
PINNED = "/dask/{edge:[A-Za-z0-9_-]+}"
"""Below this path the same API speaks of one edge only."""
_SHOWN_AS = {400: 422, 429: 422, 502: 500, 503: 500, 504: 500}
"""The client shows the text of a 422 and of a 500, and of none of these: that an edge is lost must be readable."""

Handler = Callable[["DaskFace", web.Request, Principal], Awaitable[web.Response]]
Bound = Callable[["DaskFace", web.Request], Awaitable[web.Response]]


def _for_users(handler: Handler) -> Bound:
    """Wrap a handler: the user must be named, and errors get the client's shape."""

    async def admitted(face: "DaskFace", request: web.Request) -> web.Response:
        principal = face.doorman.admit(request, browser=False)
        response = await handler(face, request, principal)
        face.doorman.remember(request, response, principal)
        return response

    @functools.wraps(handler)
    async def wrapped(face: "DaskFace", request: web.Request) -> web.Response:
        return await shaped(admitted(face, request), error_response)

    return wrapped


def error_response(error: Exception) -> web.Response:
    """Return an error in the shape that the client reads."""
    told = told_of(error, challenge='Basic realm="Lakegate: user name and API token"')
    status = _SHOWN_AS.get(told.status, told.status)
    return web.json_response({"error": told.text, **told.members}, status=status, headers=told.headers)


class DaskFace:
    """The routes ``/api/version``, ``/api/health``, ``/api/v1/options`` and ``/api/v1/clusters/*``."""

    def __init__(self, *, clusters: Clusters, doorman: Doorman) -> None:
        self._clusters = clusters
        self.doorman = doorman

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [*self._below(""), *self._below(PINNED)]

    def _below(self, path: str) -> list[web.RouteDef]:
        one = path + "/api/v1/clusters/{name}"
        return [
            web.get(path + "/api/health", self._health),
            web.get(path + "/api/version", self._version),
            web.get(path + "/api/v1/options", self._options),
            web.get(path + "/api/v1/clusters/", self._list),
            web.post(path + "/api/v1/clusters/", self._create),
            web.get(one, self._get),
            web.delete(one, self._delete),
            web.post(one + "/scale", self._scale),
            web.post(one + "/adapt", self._adapt),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "pass"})

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": API_VERSION})

    @_for_users
    async def _options(self, request: web.Request, principal: Principal) -> web.Response:
        return _json({"cluster_options": await self._clusters.options(principal, pinned=_pinned(request))})

    @_for_users
    async def _list(self, request: web.Request, principal: Principal) -> web.Response:
        statuses = _statuses(request.query.get("status"))
        return _json(await self._clusters.reports(principal, statuses, pinned=_pinned(request)))

    @_for_users
    async def _create(self, request: web.Request, principal: Principal) -> web.Response:
        body = await read_object(request, right="an object, as the Dask Gateway client sends")
        options = body.get("cluster_options") or {}
        if not isinstance(options, dict):
            raise InvalidInput("cluster_options", f"a {type(options).__name__}", "a mapping of option to value")
        name = await self._clusters.create(principal, options, pinned=_pinned(request))
        if request.transport is None or request.transport.is_closing():
            # the client has gone and never learns the name: nobody else would end it before its idle time-out
            await self._clusters.stop(principal, name)
        return _json({"name": name}, status=201)

    @_for_users
    async def _get(self, request: web.Request, principal: Principal) -> web.Response:
        wait = request.query.get("wait", "0") not in ("0", "false")
        return _json(await self._clusters.report(principal, request.match_info["name"], wait=wait))

    @_for_users
    async def _delete(self, request: web.Request, principal: Principal) -> web.Response:
        await self._clusters.stop(principal, request.match_info["name"])
        return web.Response(status=204)

    @_for_users
    async def _scale(self, request: web.Request, principal: Principal) -> web.Response:
        count = _count(
            (await read_object(request, right="an object, as the Dask Gateway client sends")).get("count"), "count"
        )
        if count is None:
            raise InvalidInput("count", "missing", "a number of workers, 0 or more")
        done = await self._clusters.scale(principal, request.match_info["name"], count)
        return _json({"ok": done.ok, "msg": done.message})

    @_for_users
    async def _adapt(self, request: web.Request, principal: Principal) -> web.Response:
        body = await read_object(request, right="an object, as the Dask Gateway client sends")
        minimum, maximum = (_count(body.get(name), name) for name in ("minimum", "maximum"))
        if minimum is not None and maximum is not None and minimum > maximum:
            raise InvalidInput("minimum", f"{minimum} is more than maximum {maximum}", "minimum <= maximum")
        done = await self._clusters.adapt(
            principal,
            request.match_info["name"],
            minimum=minimum,
            maximum=maximum,
            active=body.get("active", True) is not False,
        )
        return _json({"ok": done.ok, "msg": done.message})


def _pinned(request: web.Request) -> str | None:
    """Return the one edge that an address speaks of, None where it speaks of all."""
    return request.match_info.get("edge")


def _json(value: object, *, status: int = 200) -> web.Response:
    # reports carry a cluster's private key: no cache may keep them
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


def _count(value: object, field: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_WORKERS:
        raise InvalidInput(field, f"{value!r:.40}", "a number of workers, 0 or more")
    return value


def _statuses(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(name.strip().upper() for name in text.split(","))
    for name in names:
        if name not in STATUSES:
            raise InvalidInput("status", f"{name[:40]!r} is no cluster status", ", ".join(sorted(STATUSES)))
    return names
