"""A lake whose second site can be told to fail or to wait, for exports that are not to run through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from federated_lake import Client, gateway_over, hub, item, site_of
from served_app import served

from gateway.settings import LimitSettings

COUNT = 1_300
"""More than two pages of an export."""


def many_scenes() -> list[dict[str, Any]]:
    return [
        item(f"i{n:05}", "c" if n % 2 else "d", day=1 + n % 28, **{"eo:cloud_cover": n % 100}) for n in range(COUNT)
    ]


class Front:
    """A server in front of a site, that can be told to fail or to wait."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.searches = 0
        self.failing_after = 10**9
        self.held_after = 10**9
        self.held: asyncio.Event | None = None
        self.waiting = asyncio.Event()

    def go_on(self) -> None:
        """Let those that wait go on, and hold nobody any longer."""
        self.held_after = 10**9
        if self.held is not None:
            self.held.set()
            self.held = None

    async def pass_on(self, request: web.Request) -> web.Response:
        if request.path == "/search":
            self.searches += 1
            if self.searches > self.failing_after:
                return web.Response(status=500)
            if self.searches > self.held_after and self.held is None:
                self.held = asyncio.Event()
            if self.held is not None:
                self.waiting.set()
                await self.held.wait()
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self.site + request.path, data=await request.read()) as answer,
        ):
            text = (await answer.text()).replace(self.site, f"http://{request.host}")
            return web.Response(text=text, content_type="application/json", status=answer.status)


@asynccontextmanager
async def fronted(site: str) -> AsyncIterator[tuple[Front, str]]:
    front = Front(site)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.pass_on)
    async with served(app, handler_cancellation=True) as url:
        yield front, url


def limits(**more: Any) -> LimitSettings:
    return LimitSettings(probe_seconds=3600.0, page_items=20_000, **more)


@asynccontextmanager
async def small_lake(scenes: list[Any], folder: Path, **more: Any) -> AsyncIterator[tuple[Client, Front]]:
    async with (
        site_of(scenes, folder / "a.db") as whole,
        site_of(scenes[::3], folder / "b.db") as part,
        fronted(part) as (front, url),
        gateway_over([hub("a", whole), hub("b", url)], folder / "g", limits=limits(**more)) as client,
    ):
        yield client, front
