"""Answers in gzip for clients that accept it: a page of items shrinks to a tenth."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_LEAST_BYTES = 1_400
"""Below one packet there is nothing to win."""
_TYPES = ("application/geo+json", "application/json", "application/schema+json", "text/html")


@web.middleware
async def compression_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress whole JSON answers; streams and proxied bodies pass as they are."""
    response = await handler(request)
    if isinstance(response, web.Response) and _worth_it(request, response):
        response.enable_compression(web.ContentCoding.gzip)
        response.headers.add(hdrs.VARY, hdrs.ACCEPT_ENCODING)
    return response


def _worth_it(request: web.Request, response: web.Response) -> bool:
    body = response.body
    return (
        isinstance(body, bytes | bytearray)
        and len(body) >= _LEAST_BYTES
        and response.content_type in _TYPES
        and hdrs.CONTENT_ENCODING not in response.headers
        and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    )
