"""``/livez`` and ``/readyz``: whether to restart the gateway, and whether to send it requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import hdrs, web

Check = Callable[[], Awaitable[str]]
"""Returns why it is not ready, or nothing; may raise OSError or time out."""

_CHECK_SECONDS = 2.0


class Readiness:
    """Knows whether the gateway can serve: each of ``checks`` passes, and it is not ``draining``: about to stop.

    A lost site is no reason to be unready: the others are served, and every gateway has lost it.
    """

    def __init__(self, checks: Mapping[str, Check], *, draining: asyncio.Event) -> None:
        self._checks = dict(checks)
        self._draining = draining

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.get("/livez", self.live), web.get("/readyz", self.ready)]

    async def live(self, request: web.Request) -> web.Response:
        """``GET /livez``: 200 as long as the event loop turns."""
        return _told(200, {})

    async def ready(self, request: web.Request) -> web.Response:
        """``GET /readyz``: 200 where it can serve, else 503 with what is missing."""
        names = list(self._checks)
        results = await asyncio.gather(*(_outcome(self._checks[name]) for name in names))
        reasons = dict(zip(names, results, strict=True))
        if self._draining.is_set():
            reasons["draining"] = "the gateway is about to stop"
        return _told(503 if any(reasons.values()) else 200, reasons)


def parting(draining: asyncio.Event) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what ends connections with their next answer while the gateway drains (RFC 9112 section 9.6).

    Who keeps connections then goes to another replica, and does not send a request on one that is being closed.
    """

    async def part(request: web.Request, response: web.StreamResponse) -> None:
        if draining.is_set() and response.status != 101:
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()

    return part


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS:g} s"
    except OSError as error:
        return type(error).__name__


def _told(status: int, reasons: Mapping[str, str]) -> web.Response:
    checks = {name: why or "pass" for name, why in reasons.items()}
    body = {"status": "pass" if status == 200 else "fail", "checks": checks}
    response = web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
