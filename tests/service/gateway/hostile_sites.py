"""A site that answers honestly when it is asked who it is, and as a test wants when it is searched."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from federated_lake import collection, item
from served_app import served

from edges.stac.documents import CONFORMANCE
from gateway.settings import LimitSettings

GOOD = [item(f"good-{n}", "good", day=n) for n in range(1, 6)]
"""What the site beside a hostile one has."""
LIMITS = LimitSettings(deadline_seconds=8.0, probe_seconds=3600.0)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HostileSite:
    """``answer`` is what a search (and an item's address) gets; every request is kept."""

    claims: tuple[str, ...] = CONFORMANCE
    links: tuple[Any, ...] = ()

    def __init__(self, answer: Answer, collections: tuple[str, ...] = ("bad",)) -> None:
        self.url = ""
        self.answer = answer
        self.collections = collections
        self.requests: list[web.Request] = []
        self.closing = asyncio.Event()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        app.add_routes(
            [
                web.get("/", self._landing),
                web.get("/collections", self._collections),
                web.route("*", "/{rest:.*}", self._any),
            ]
        )
        return app

    async def _landing(self, request: web.Request) -> web.Response:
        return answered({"type": "Catalog", "id": "bad", "conformsTo": list(self.claims), "links": list(self.links)})

    async def _collections(self, request: web.Request) -> web.Response:
        return answered({"collections": [collection(name) for name in self.collections], "links": []})

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)


@asynccontextmanager
async def hostile(
    answer: Answer, *, collections: tuple[str, ...] = ("bad",), claims: tuple[str, ...] = CONFORMANCE
) -> AsyncIterator[HostileSite]:
    """Serve a hostile site; whoever hangs is let go at the end."""
    site = HostileSite(answer, collections)
    site.claims = claims
    async with served(site.application()) as site.url:
        try:
            yield site
        finally:
            site.closing.set()


def answered(document: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


def page(items: list[Any], *links: Any, **members: Any) -> web.Response:
    return answered({"type": "FeatureCollection", "features": items, "links": list(links), **members})
