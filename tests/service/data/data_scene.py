"""A small lake with data: catalogues in files, origins that keep or break HTTP's rules, and a gateway over them."""

import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from free_ports import free_port
from served_app import served

from edges.catalogues.memory import MemoryCatalogue
from edges.model import Batch, Members, Query
from edges.settings import CatalogueSettings, DownloadSettings, Secret, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import (
    ApiTokenSettings,
    AuthSettings,
    ContributedSettings,
    DataSettings,
    QuotaSettings,
    ServerSettings,
    Settings,
)
from quotas.model import Policy

ALICE, BOB = "token-of-alice", "token-of-bob"
GROUP = "eo"
COLLECTION = "scenes"
DATE = "Tue, 05 Mar 2024 10:00:00 GMT"

Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


def scene(item_id: str, assets: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": COLLECTION,
        "geometry": {"type": "Point", "coordinates": [10.0, 50.0]},
        "bbox": [10.0, 50.0, 10.0, 50.0],
        "properties": {"datetime": "2024-03-05T10:00:00Z"},
        "links": [],
        "assets": {key: each if isinstance(each, dict) else {"href": each} for key, each in assets.items()},
    }


class Origin:
    """A server of files: ranges and validators by the book, unless a path has an answer of its own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.ranges = True
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Origin"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with served(app, handler_cancellation=True) as self.url:
            yield self

    def asked(self, path: str) -> int:
        return sum(each == path for _, each, _ in self.requests)

    @staticmethod
    def etag(body: bytes) -> str:
        return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.requests.append((request.method, path, {name.lower(): value for name, value in request.headers.items()}))
        body = self.files.get(path, b"")
        if path in self.answers:
            return await self.answers[path](request, body)
        if path not in self.files:
            return web.Response(status=404)
        return self.whole_or_part(request, body)

    def whole_or_part(self, request: web.Request, body: bytes) -> web.Response:
        headers = {"ETag": self.etag(body), "Last-Modified": DATE, "Content-Type": "binary/octet-stream"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        asked = request.http_range
        if not self.ranges or "Range" not in request.headers:
            return web.Response(body=body, headers=headers)
        start, stop, _ = slice(asked.start, asked.stop).indices(len(body))
        if start >= stop:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)


class Lake:
    """A gateway and its users; ``catalogue_requests`` are counted at the sites."""

    def __init__(self, url: str, session: aiohttp.ClientSession, asked: Counter[str]) -> None:
        self.url = url
        self.session = session
        self.catalogue_requests = asked

    def get(
        self, path: str, *, token: str | None = ALICE, method: str = "GET", **options: Any
    ) -> "aiohttp.client._RequestContextManager":
        headers = {
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **options.pop("headers", {}),
        }
        return self.session.request(method, self.url + path, headers=headers, allow_redirects=False, **options)

    async def body(self, path: str, **options: Any) -> tuple[int, bytes, Mapping[str, str]]:
        async with self.get(path, **options) as response:
            return response.status, await response.read(), response.headers

    async def metric(self, line: str) -> float:
        _, text, _ = await self.body("/metrics")
        values = [each.rpartition(" ")[2] for each in text.decode().splitlines() if each.startswith(line + " ")]
        return float(values[0]) if values else 0.0

    async def used(self) -> float:
        """Return how many bytes alice's group was charged for, with what is still reserved."""
        _, body, _ = await self.body("/quotas/me")
        told = msgspec.json.decode(body)
        found = [each for each in told["quotas"] if each["resource"] == "egress_bytes"]
        return float(found[0]["used"] + found[0]["reserved"])


@asynccontextmanager
async def lake_of(
    folder: Path,
    items: Mapping[str, Iterable[dict[str, Any]]],
    *,
    downloads: Mapping[str, DownloadSettings] | None = None,
    policies: tuple[Policy, ...] = (),
    data: DataSettings | None = None,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    hub: Callable[[str], SiteSettings] | None = None,
    contributed: ContributedSettings | None = None,
) -> AsyncIterator[Lake]:
    """Run a site for each entry of ``items`` and a gateway over them; ``more`` are further settings by site.

    ``hub`` makes a site that stands before the one of the same URL, in its stead.
    """
    asked: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        sites = []
        for name, scenes in items.items():
            url = await stack.enter_async_context(site_of(list(scenes), name, asked))
            sites.append(
                hub(url)
                if hub is not None
                else SiteSettings(
                    id=name,
                    kind="hub",
                    catalogue=CatalogueSettings(url=url),
                    downloads=(downloads or {}).get(name, DownloadSettings()),
                    **(more or {}).get(name, {}),
                )
            )
        settings = Settings(
            sites=tuple(sites),
            server=ServerSettings(port=free_port(), state=str(folder / "state"), shutdown_seconds=1.0),
            auth=AuthSettings(anonymous="read", tokens=tuple(_token(folder, *each) for each in USERS)),
            quotas=QuotaSettings(policies=policies),
            data=data or DataSettings(),
            contributed=contributed or ContributedSettings(),
        )
        base = await stack.enter_async_context(running_gateway(settings))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, auto_decompress=False))
        yield Lake(base, session, asked)


ROLES = {"bob": ("readers",)}
USERS = (("alice", ALICE, GROUP), ("bob", BOB, "other"))


def _token(folder: Path, user: str, token: str, group: str) -> ApiTokenSettings:
    path = folder / f"{user}.token"
    path.write_text(token)
    return ApiTokenSettings(
        user=user, token=Secret(file=str(path)), groups=(group,), admin=user == "bob", roles=ROLES.get(user, ())
    )


def secret(name: str, value: str) -> Secret:
    os.environ[f"TEST_DATA_{name}"] = value
    return Secret(env=f"TEST_DATA_{name}")


class _Counted(MemoryCatalogue):
    """Counts how often items are asked for."""

    def __init__(self, name: str, asked: Counter[str]) -> None:
        described = {"id": COLLECTION, "type": "Collection", "stac_version": "1.0.0", "description": "scenes"}
        super().__init__(collections=[described | {"license": "other", "extent": _EVERYWHERE, "links": []}])
        self._name = name
        self._asked = asked

    async def item(self, collection: str, item_id: str) -> Members | None:
        self._asked[self._name] += 1
        return await super().item(collection, item_id)

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        self._asked[f"searches at {self._name}"] += 1
        return await super().search(query, limit=limit, after=after)


_EVERYWHERE = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}


@asynccontextmanager
async def site_of(
    items: list[dict[str, Any]], name: str = "hub", asked: Counter[str] | None = None
) -> AsyncIterator[str]:
    """Serve items as a site that counts who asks for them."""
    catalogue = _Counted(name, Counter() if asked is None else asked)
    await catalogue.put_items(COLLECTION, items)
    async with serving(catalogue, SiteServerSettings(shutdown_seconds=0.5)) as url:
        yield url
