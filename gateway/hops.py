"""Which gateways a request came through (``edges.hops``), read from its header."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edges.hops import HOPS, arriving, read_hops


def hops_middleware(own: str) -> Middleware:
    """Return a middleware that notes the way of each request; ``own`` is this gateway's name."""

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        header = request.headers.get(HOPS)
        if not header:
            return await handler(request)
        with arriving(read_hops(header, own)):
            return await handler(request)

    return note
