"""The REST API of a Jupyter kernel gateway, for unmodified Jupyter servers (``jupyter server --gateway-url``).

Errors have the shape ``{"reason", "message"}``, as kernel gateways give them.
"""

import functools
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web

from edges.errors import InvalidInput
from gateway.bodies import read_object
from gateway.kernels.buffers import needs_text, without_buffers
from gateway.kernels.environment import read_environment
from gateway.kernels.errors import UnknownSpec
from gateway.kernels.kernels import Kernels
from gateway.kernels.largest import told_if_too_large
from gateway.origins import check_origin
from gateway.own_shapes import shaped, told_of
from gateway.principal import Principal, user_of
from gateway.proxying import EdgeProxy

RESOURCE_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".js": "text/javascript", ".css": "text/css"}
"""What a kernelspec's files are served as, by their name: an edge cannot make a page of ours out of one."""

Handler = Callable[["KernelFace", web.Request, Principal], Awaitable[web.StreamResponse]]
Bound = Callable[["KernelFace", web.Request], Awaitable[web.StreamResponse]]


def _for_users(handler: Handler) -> Bound:
    """Wrap a handler: the user must be named, the page (if any) ours, and errors get the client's shape."""

    async def admitted(face: "KernelFace", request: web.Request) -> web.StreamResponse:
        principal = user_of(request)
        check_origin(request, face.origins)
        return await handler(face, request, principal)

    @functools.wraps(handler)
    async def wrapped(face: "KernelFace", request: web.Request) -> web.StreamResponse:
        return await shaped(admitted(face, request), error_response)

    return wrapped


def error_response(error: Exception) -> web.Response:
    """Return an error in the shape of kernel gateways."""
    told = told_of(error, challenge='Bearer realm="lakegate"')
    reason = str(getattr(error, "title", "Error"))
    body = {"reason": reason, "message": told.text, **told.members}
    return web.json_response(body, status=told.status, headers=told.headers)


class KernelFace:
    """The routes ``/api/kernelspecs``, ``/kernelspecs/*`` and ``/api/kernels/*``.

    ``origins`` are those whose pages may use kernels (``https://gateway.example``): for all others, a kernel would be
    a shell that any page can open.
    """

    def __init__(self, *, kernels: Kernels, proxy: EdgeProxy, origins: Collection[str]) -> None:
        self._kernels = kernels
        self._proxy = proxy
        self.origins = frozenset(origins)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        one = "/api/kernels/{id}"
        return [
            web.get("/api/kernelspecs", self._specs),
            web.get("/api/kernelspecs/{name}", self._spec),
            web.get("/kernelspecs/{name}/{path}", self._resource),
            web.get("/api/kernels", self._list),
            web.post("/api/kernels", self._start),
            web.get(one, self._get),
            web.delete(one, self._stop),
            web.post(one + "/interrupt", self._interrupt),
            web.post(one + "/restart", self._restart),
            web.get(one + "/channels", self._channels),
        ]

    @_for_users
    async def _specs(self, request: web.Request, principal: Principal) -> web.Response:
        return _json(await self._kernels.specs())

    @_for_users
    async def _spec(self, request: web.Request, principal: Principal) -> web.Response:
        name = request.match_info["name"]
        spec = (await self._kernels.specs())["kernelspecs"].get(name)
        if spec is None:
            raise UnknownSpec(f"no edge that answers offers kernelspec {name[:100]!r}")
        return _json(spec)

    @_for_users
    async def _resource(self, request: web.Request, principal: Principal) -> web.Response:
        path = request.match_info["path"]
        _, content = await self._kernels.resource(request.match_info["name"], path)
        kind = next((kind for end, kind in RESOURCE_TYPES.items() if path.endswith(end)), "application/octet-stream")
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return web.Response(body=content, content_type=kind, headers=headers)

    @_for_users
    async def _list(self, request: web.Request, principal: Principal) -> web.Response:
        return _json(await self._kernels.all_of(principal))

    @_for_users
    async def _start(self, request: web.Request, principal: Principal) -> web.Response:
        body = await read_object(request, right="an object with name and env")
        name = body.get("name") or ""
        if not isinstance(name, str) or len(name) > 200:
            raise InvalidInput("name", f"{name!r:.60}", "the name of a kernelspec")
        model = await self._kernels.start(principal, name, read_environment(body.get("env")))
        if request.transport is None or request.transport.is_closing():
            # the client has gone and never learns the id: nobody else would end it before it is culled
            await self._kernels.stop(principal, model["id"])
        response = _json(model, status=201)
        response.headers[hdrs.LOCATION] = f"/api/kernels/{quote(model['id'])}"
        return response

    @_for_users
    async def _get(self, request: web.Request, principal: Principal) -> web.Response:
        return _json(await self._kernels.model(principal, request.match_info["id"]))

    @_for_users
    async def _stop(self, request: web.Request, principal: Principal) -> web.Response:
        await self._kernels.stop(principal, request.match_info["id"])
        return web.Response(status=204)

    @_for_users
    async def _interrupt(self, request: web.Request, principal: Principal) -> web.Response:
        await self._kernels.interrupt(principal, request.match_info["id"])
        return web.Response(status=204)

    @_for_users
    async def _restart(self, request: web.Request, principal: Principal) -> web.Response:
        return _json(await self._kernels.restart(principal, request.match_info["id"]))

    @_for_users
    async def _channels(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise InvalidInput("Upgrade", "this is no websocket handshake", "a websocket (RFC 6455)")
        upstream = self._kernels.channels(principal, request.match_info["id"], request.query.get("session_id"))
        legacy = needs_text(
            user_agent=request.headers.get(hdrs.USER_AGENT, ""),
            subprotocols=request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, ""),
        )
        return await self._proxy.websocket(request, upstream, to_client=_for_tornado if legacy else None)


def _for_tornado(frame: str | bytes) -> str | bytes:
    return told_if_too_large(without_buffers(frame))


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
