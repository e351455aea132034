"""Whether a browser's request comes from a page of ours (RFC 6454; cross-site websocket hijacking, CSRF)."""

from collections.abc import Collection
from typing import ClassVar

from aiohttp import hdrs, web


class ForeignOrigin(Exception):
    """A page of another origin made the request."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Origin not allowed"


def check_origin(request: web.Request, allowed: Collection[str]) -> None:
    """Let requests without an ``Origin`` pass (they come from no page), and those of allowed origins.

    Raises:
        ForeignOrigin: the origin is another one.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin.rstrip("/") not in allowed:
        raise ForeignOrigin(f"pages of {origin[:200]} may not do this; allowed: {', '.join(sorted(allowed)) or 'none'}")
