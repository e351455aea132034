"""Sites on real sockets that page, err and lie as real catalogues do; what each holds and does is set for each test."""

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from edges.catalogues.memory import MemoryCatalogue
from edges.model import Json, Members, Query, SortKey
from edges.stac.documents import CONFORMANCE
from edges.stac.request import search_from_post

DIALECTS = ("token", "merge", "get", "relative", "page", "offset", "cursor", "header", "empty post")
LIES = ("", "filter", "bbox", "datetime", "ids", "order", "limit", "duplicates", "empty pages", "descending ties")

_CLAIMS = {"filter": ("filter", "cql2"), "sort": ("#sort",)}


@dataclass(kw_only=True)
class Habits:
    """What a site does. ``page`` is its largest page; it fails every ``fails``-th search, never where that is 0."""

    dialect: str = "token"
    page: int = 100
    lie: str = ""
    fails: int = 0
    filters: bool = True
    sorts: bool = True
    grows: list[Json] = field(default_factory=list)


class QuirkySite:
    """A STAC API over a catalogue in memory, whose manners are :class:`Habits`."""

    def __init__(self) -> None:
        self.url = ""
        self.habits = Habits()
        self.catalogue = MemoryCatalogue()
        self.searches = 0
        self._places: dict[str, tuple[Json, int]] = {}
        self._names = itertools.count()

    def become(self, habits: Habits, items: list[Json]) -> None:
        """Forget everything, hold these items, and behave like this from now on."""
        catalogue = MemoryCatalogue()
        for name in ("a", "b"):
            document = {"type": "Collection", "id": name, "links": [], "description": name, "license": "other"}
            asyncio.run(catalogue.put_collection(document))
        for item in items:
            asyncio.run(catalogue.put_items(item["collection"], [item]))
        self.habits, self.catalogue, self.searches = habits, catalogue, 0
        self._places.clear()

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/stac", self._landing),
                web.get("/stac/collections", self._collections),
                web.post("/stac/search", self._post),
                web.get("/stac/search", self._get),
            ]
        )
        return app

    async def _landing(self, request: web.Request) -> web.Response:
        dropped = [] if self.habits.filters else _CLAIMS["filter"]
        dropped = [*dropped, *(() if self.habits.sorts else _CLAIMS["sort"])]
        claims = [claim for claim in CONFORMANCE if not any(word in claim for word in dropped)]
        return _json({"type": "Catalog", "id": "quirky", "conformsTo": claims, "links": []})

    async def _collections(self, request: web.Request) -> web.Response:
        return _json({"collections": await self.catalogue.collections(), "links": []})

    async def _post(self, request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read() or b"{}")
        place = self._place_of(request, body)
        return await self._page(*place) if place is not None else _json({"detail": "no such place"}, 400)

    async def _get(self, request: web.Request) -> web.Response:
        place = self._places.get(request.query.get("cursor", ""))
        return await self._page(*place) if place is not None else _json({"detail": "no such place"}, 400)

    def _place_of(self, request: web.Request, body: Json) -> tuple[Json, int] | None:
        """Return the search and how many items of it were given, by whatever the dialect tells it."""
        for name in ("page", "offset"):
            if name in body:
                return body, body[name]
        told = body.pop("token", None) or request.headers.get("X-Cursor") or request.query.get("after")
        if told is None:
            return body, 0
        return self._places.get(str(told))

    async def _page(self, body: Json, start: int) -> web.Response:
        habits = self.habits
        self.searches += 1
        if habits.fails and self.searches % habits.fails == 0:
            return _json({"detail": "out of order"}, 500)
        items = await self._matches(body)
        size = min(body.get("limit", 10), habits.page)
        if habits.lie == "empty pages" and start == 0 and "empty" not in body:
            features, following, body = [], 0, body | {"empty": True}
        else:
            given = size + 3 if habits.lie == "limit" else size
            features, following = items[start : start + given], start + given
        page: dict[str, Any] = {"type": "FeatureCollection", "features": features, "links": []}
        if following < len(items):
            page["links"] = [{"rel": "next"} | self._next(body, following)]
        while habits.grows:
            new = habits.grows.pop()
            await self.catalogue.put_items(new["collection"], [new])
        return _json(page)

    async def _matches(self, body: Json) -> list[Members]:
        query = search_from_post(msgspec.json.encode(body), default_limit=10, max_limit=10_000).query
        lie, changes = self.habits.lie, {}
        if lie in ("filter", "bbox", "datetime", "ids"):
            changes[lie] = None
        if not self.habits.filters:
            changes["filter"] = None
        if lie == "order" or not self.habits.sorts:
            changes["sortby"] = (SortKey(field="id"),)
        if lie == "descending ties":
            changes["sortby"] = (*query.sortby[:1], SortKey(field="id", descending=True))
        asked: Query = msgspec.structs.replace(query, **changes)
        items = list((await self.catalogue.search(asked, limit=100_000)).items)
        return [item for item in items for _ in range(2)] if lie == "duplicates" else items

    def _next(self, body: Json, start: int) -> Json:
        """Say in the site's dialect where the next page is."""
        dialect, own = self.habits.dialect, f"{self.url}/search"
        if dialect in ("page", "offset"):
            return {"href": own, "method": "POST", "body": body | {dialect: start}}
        name = f"next:{next(self._names)}"
        self._places[name] = (body, start)
        post = {"href": own, "method": "POST"}
        return {
            "token": post | {"body": body | {"token": name}, "merge": False},
            "merge": post | {"body": {"token": name}, "merge": True},
            "cursor": post | {"body": {"token": name}},
            "header": post | {"headers": {"X-Cursor": name}, "body": body},
            "get": {"href": f"{own}?cursor={name}"},
            "relative": {"href": f"search?cursor={name}", "method": "GET"},
            "empty post": {"href": f"{own}?after={name}", "method": "POST"},
        }[dialect]


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


@contextmanager
def quirky_sites(count: int) -> Iterator[list[QuirkySite]]:
    """Serve sites from a thread of their own, while the context lasts."""
    sites = [QuirkySite() for _ in range(count)]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="quirky sites")
    thread.start()
    runners = [asyncio.run_coroutine_threadsafe(_started(site), loop).result(10) for site in sites]
    try:
        yield sites
    finally:
        for runner in runners:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _started(site: QuirkySite) -> web.AppRunner:
    runner = web.AppRunner(site.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    site.url = f"http://{host}:{port}/stac"
    return runner
