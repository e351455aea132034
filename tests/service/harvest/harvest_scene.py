"""A small world to harvest in: a source that misbehaves on request, a real bucket, a catalogue and a ledger on disk."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import boto3
import msgspec
from aiohttp import web
from awscrt import checksums
from botocore.config import Config
from free_ports import free_port

from edges.catalogues.memory import MemoryCatalogue
from edges.downloads.ways import Way
from edges.model import Json, Query
from edges.settings import Secret, StorageSettings
from edges.storage.s3 import S3Store
from harvest.database_postgres import PostgresDatabase
from harvest.database_sqlite import SqliteDatabase
from harvest.database_thread import DatabaseThread
from harvest.files import Folder
from harvest.harvester import Harvester
from harvest.model import FoundItem, Order, OrderRequest
from harvest.runs import Elsewhere
from harvest.seams import Place, Webhooks, World, unobserved
from harvest.settings import HarvestSettings
from quotas.model import Charge, Policy
from quotas.sqlite import SqliteLedger

ACCESS, SECRET = "harvester", "not-a-real-secret"
PART = 5 << 20
GROUP = "root/team"
CHARGE = Charge(group=GROUP, user="ann")
EDGE, HUB = "edge-a", "hub-b"


@contextmanager
def rclone(folder: Path) -> Iterator[str]:
    """Serve a folder as S3."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "rclone"), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}",
        "--auth-key", f"{ACCESS},{SECRET}", "--config", "/dev/null", "--vfs-cache-mode", "off",
    ]  # fmt: skip
    with (folder.parent / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(400):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                threading.Event().wait(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


def make_bucket(endpoint: str, bucket: str) -> None:
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=bucket)
    client.close()


def storage(endpoint: str, bucket: str) -> StorageSettings:
    os.environ["TEST_S3_ACCESS"], os.environ["TEST_S3_SECRET"] = ACCESS, SECRET
    keys = {"access_key": Secret(env="TEST_S3_ACCESS"), "secret_key": Secret(env="TEST_S3_SECRET")}
    return StorageSettings(endpoint=endpoint, bucket=bucket, **keys)


Fault = Callable[[web.Request, bytes, int], "asyncio.Future[web.StreamResponse]"]


class Origin:
    """An HTTP server of files with ETags and ranges; each path may have faults, used up one per request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.requests: list[tuple[str, str]] = []
        self.sent: defaultdict[str, int] = defaultdict(int)
        self.etags = True
        self.gate: asyncio.Event | None = None
        self.url = ""

    def add(self, path: str, body: bytes) -> None:
        self.files[path] = body

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Origin"]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            if self.gate is not None:
                self.gate.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.requests.append((path, request.headers.get("Range", "")))
        assert "Cookie" not in request.headers
        assert "Authorization" not in request.headers
        body = self.files.get(path)
        if body is None:
            return web.Response(status=404)
        asked = request.headers.get("Range")
        start = int(asked[6:-1]) if asked and request.headers.get("If-Range") == self.etag(path) else 0
        if self.faults[path]:
            return await self.faults[path].pop(0)(request, body, start)
        return await self.send(request, body, start)

    def etag(self, path: str) -> str:
        return f'"{hashlib.md5(self.files[path], usedforsecurity=False).hexdigest()}"'

    def begin(self, request: web.Request, body: bytes, start: int) -> web.StreamResponse:
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(body) - start
        if self.etags:
            response.headers["ETag"] = self.etag(request.match_info["path"])
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return response

    async def send(self, request: web.Request, body: bytes, start: int) -> web.StreamResponse:
        response = self.begin(request, body, start)
        await response.prepare(request)
        for position in range(start, len(body), 1 << 18):
            if self.gate is not None and position >= len(body) // 2:
                await self.gate.wait()
            piece = body[position : position + (1 << 18)]
            await response.write(piece)
            self.sent[request.match_info["path"]] += len(piece)
        await response.write_eof()
        return response

    # -- faults ------------------------------------------------------------------------------------------------

    def reset_after(self, count: int) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            response = self.begin(request, body, start)
            await response.prepare(request)
            await response.write(body[start : start + count])
            transport = request.transport
            assert transport is not None
            await asyncio.sleep(0)
            transport.abort()
            return response

        return fault

    def status(self, code: int, **headers: str) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=code, headers=named)

        return fault

    def instead(self, other: bytes) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            return await self.send(request, other, start)

        return fault

    def stall_after(self, count: int) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            response = self.begin(request, body, start)
            await response.prepare(request)
            await response.write(body[start : start + count])
            await asyncio.Event().wait()
            return response

        return fault

    def drip(self) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            response = self.begin(request, body, start)
            await response.prepare(request)
            for position in range(start, len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(0.02)
            return response

        return fault


class FileCatalogue(MemoryCatalogue):
    """The catalogue in memory, kept in a file so that it outlives a killed process."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.puts = 0
        if path.exists():
            kept = msgspec.json.decode(path.read_bytes())
            self._kept: dict[str, list[Json]] = kept
        else:
            self._kept = {"collections": [], "items": []}

    async def load(self) -> None:
        for collection in self._kept["collections"]:
            await super().put_collection(collection)
        for item in self._kept["items"]:
            await super().put_items(item["collection"], [item])

    async def put_collection(self, collection: Json) -> None:
        await super().put_collection(collection)
        self._keep("collections", [collection])

    async def put_items(self, collection: str, items: list[Json]) -> None:
        await super().put_items(collection, items)
        self.puts += 1
        self._keep("items", items)

    async def delete_item(self, collection: str, item_id: str) -> bool:
        there = await super().delete_item(collection, item_id)
        self._kept["items"] = [each for each in self._kept["items"] if each["id"] != item_id]
        self._keep("items", [])
        return there

    def _keep(self, kind: str, values: list[Json]) -> None:
        ids = {value["id"] for value in values}
        self._kept[kind] = [each for each in self._kept[kind] if each["id"] not in ids] + list(values)
        new = self._path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self._kept))
        new.replace(self._path)

    async def plain(self, collection: str, item_id: str) -> Json | None:
        members = await self.item(collection, item_id)
        return None if members is None else msgspec.json.decode(msgspec.json.encode(members))


def sha256(body: bytes) -> str:
    return "1220" + hashlib.sha256(body).hexdigest()


def crc64(body: bytes) -> str:
    return f"e50208{checksums.crc64nvme(body):016x}"


def make_item(item_id: str, assets: dict[str, Json], collection: str = "s2") -> Json:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [7.0, 46.0]},
        "bbox": [7.0, 46.0, 7.0, 46.0],
        "properties": {"datetime": "2026-05-01T10:00:00Z", "eo:cloud_cover": 3.5},
        "links": [],
        "assets": assets,
    }


COLLECTION: Json = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "s2",
    "description": "Sentinel-2",
    "license": "proprietary",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    "links": [],
}


def policies(**limits: float) -> list[Policy]:
    kinds = {"harvest_bytes": ("window", 3600), "storage_bytes": ("stock", 0), "harvest_jobs": ("concurrent", 0)}
    return [
        Policy(
            name=resource,
            group=GROUP,
            resource=resource,
            kind=kinds[resource][0],  # type: ignore[arg-type]
            window_seconds=kinds[resource][1],
            amount=limits.get(resource, 1 << 40),
        )
        for resource in kinds
    ]


def quick(**changes: object) -> HarvestSettings:
    values = {
        "workers": 2, "part_bytes": PART, "stall_seconds": 0.5, "claim_seconds": 1.5, "attempts": 3,
        "pause_seconds": 0.05, "idle_seconds": 0.1, "assumed_bytes": 1000,
    }  # fmt: skip
    return HarvestSettings(**values | changes)  # type: ignore[arg-type]


@dataclass
class Scene:
    """Everything that outlives a harvester: folder, bucket, found items, limits."""

    folder: Path
    endpoint: str
    bucket: str
    found: list[FoundItem] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    settings: HarvestSettings = field(default_factory=quick)
    refused: tuple[str, ...] = ()
    dsn: str = ""
    schema: str = ""
    allowed: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    ways: dict[str, Way] = field(default_factory=dict)

    def portable(self) -> "Scene":
        """Return what another process needs of this scene."""
        kept = {name: getattr(self, name) for name in ("endpoint", "bucket", "settings", "dsn", "schema")}
        return Scene(folder=Path(self.folder), **kept)

    def database(self) -> DatabaseThread:
        """Return the orders' database: a file, or a schema of its own on PostgreSQL."""
        if self.dsn:
            return PostgresDatabase(self.dsn, schema=self.schema)
        return SqliteDatabase(self.folder / "harvest.db")

    async def search(self, query: Query) -> AsyncIterator[FoundItem]:
        for found in self.found:
            if query.ids is None or found.item["id"] in query.ids:
                yield found

    async def describe(self, collection: str) -> Json | None:
        return COLLECTION if collection == "s2" else None

    def check(self, url: str) -> None:
        from edges.errors import DestinationRefused  # noqa: PLC0415 - only here

        if any(part in url for part in self.refused):
            raise DestinationRefused("not allowed")

    @asynccontextmanager
    async def running(
        self,
        *,
        workers: int | None = None,
        checkpoint: Callable[[str], None] = unobserved,
        webhooks: Webhooks | None = None,
        elsewhere: Elsewhere | None = None,
    ):
        """Enter a harvester over this scene."""
        settings = self.settings
        if workers is not None:
            settings = msgspec.structs.replace(settings, workers=workers)
        catalogue = FileCatalogue(self.folder / "catalogue.json")
        await catalogue.load()
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            SqliteLedger(self.folder / "quota.db", policies(**self.limits)) as ledger,
            S3Store(
                site=EDGE,
                settings=storage(self.endpoint, self.bucket),
                session=session,
                stall_seconds=10,
                attempts=3,
                pause_seconds=0.05,
            ) as store,
        ):
            place = Place(
                site=EDGE,
                store=store,
                bucket=self.bucket,
                endpoint=self.endpoint,
                region="us-east-1",
                catalogue=catalogue,
            )
            world = World(
                search=self.search,
                describe=self.describe,
                places={EDGE: place},
                ledger=ledger,
                session=session,
                check=self.check,
                webhooks=webhooks or Webhooks(),
                folders=self.folders,
                ways=self.ways,
            )
            harvester = Harvester(
                database=self.database(),
                settings=settings,
                world=world,
                lease_seconds=30,
                elsewhere=elsewhere,
                checkpoint=checkpoint,
            )
            async with harvester:
                yield Live(harvester, store, catalogue, ledger)


@dataclass
class Live:
    """A harvester at work, and what it writes to."""

    harvester: Harvester
    store: S3Store
    catalogue: FileCatalogue
    ledger: SqliteLedger

    async def order(self, key: str | None = None, **changes: object) -> Order:
        request = OrderRequest(**{"query": Query(collections=("s2",)), "target": EDGE} | changes)  # type: ignore[arg-type]
        return await self.harvester.submit(request, CHARGE, idempotency_key=key)

    async def settled(self, order_id: str, seconds: float = 12.0) -> Order:
        """Wait until nothing is left to do for an order."""
        for _ in range(int(seconds / 0.02)):
            order = await self.harvester.status(order_id)
            if order.settled:
                return order
            await asyncio.sleep(0.02)
        raise AssertionError(f"not settled: {order}")

    async def reached(self, order_id: str, state: str, seconds: float = 12.0) -> Order:
        """Wait until an order is in a state."""
        for _ in range(int(seconds / 0.02)):
            order = await self.harvester.status(order_id)
            if order.state == state:
                return order
            await asyncio.sleep(0.02)
        raise AssertionError(f"not {state}: {order}")

    async def uploads(self, seconds: float = 10.0) -> None:
        """Wait until an upload has begun."""
        for _ in range(int(seconds / 0.02)):
            if await self.store.list_uploads():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("no upload begins")

    async def read(self, href: str) -> bytes:
        key = href.removeprefix(f"s3://{self.store.bucket}/")
        return b"".join([piece async for piece in self.store.get(key)])

    async def taken(self) -> dict[str, tuple[float, float]]:
        """Tell what is used and reserved, per resource."""
        usage = await self.ledger.usage([GROUP], "ann")
        return {each.policy.resource: (each.used, each.reserved) for each in usage}
