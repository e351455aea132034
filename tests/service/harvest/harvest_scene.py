"""A small world to harvest in: a real bucket, a catalogue and a ledger on disk."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
from awscrt import checksums
from harvest_origin import Origin
from s3_bucket import ACCESS, SECRET
from waiting import until

from edges.catalogues.memory import MemoryCatalogue
from edges.downloads.ways import Way
from edges.lines.lines import Lines
from edges.model import Json, Query
from edges.settings import PolitenessSettings, Secret, StorageSettings
from edges.storage.s3 import S3Store
from harvest.bucket_keys import Bucket
from harvest.database_postgres import PostgresDatabase
from harvest.database_sqlite import SqliteDatabase
from harvest.database_thread import DatabaseThread
from harvest.files import Folder
from harvest.harvester import Harvester
from harvest.model import FoundItem, Order, OrderRequest
from harvest.runs import Elsewhere
from harvest.seams import Beside, Place, Recorded, Webhooks, World, unobserved, unrecorded
from harvest.settings import HarvestSettings
from quotas.model import Charge, Policy
from quotas.sqlite import SqliteLedger

PART = 5 << 20
GROUP = "root/team"
CHARGE = Charge(group=GROUP, user="ann")
EDGE, HUB = "edge-a", "hub-b"


def storage(endpoint: str, bucket: str) -> StorageSettings:
    os.environ["TEST_S3_ACCESS"], os.environ["TEST_S3_SECRET"] = ACCESS, SECRET
    keys = {"access_key": Secret(env="TEST_S3_ACCESS"), "secret_key": Secret(env="TEST_S3_SECRET")}
    return StorageSettings(endpoint=endpoint, bucket=bucket, **keys)


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
        "workers": 2, "part_bytes": PART, "stall_seconds": 5.0, "claim_seconds": 1.5, "attempts": 3,
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
    recorded: Recorded = unrecorded
    politeness: dict[str, PolitenessSettings] = field(default_factory=dict)
    beside: bool = False
    """Whether processes beside may carry, too."""
    hub: tuple[str, str] | None = None
    """Endpoint and bucket of a hub whose items lie in S3."""

    def portable(self) -> "Scene":
        """Return what another process needs of this scene."""
        kept = {
            name: getattr(self, name)
            for name in ("endpoint", "bucket", "settings", "dsn", "schema", "hub", "beside", "allowed")
        }
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

    def keys(self, site: str) -> Bucket | None:
        """Return the keys to a site's bucket."""
        if site != EDGE:
            return None
        return Bucket(
            bucket=self.bucket, endpoint=self.endpoint, region="us-east-1", access_key=ACCESS, secret_key=SECRET
        )

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
            AsyncExitStack() as stack,
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            Lines() as lines,
            SqliteLedger(self.folder / "quota.db", policies(**self.limits)) as ledger,
            S3Store(
                site=EDGE,
                settings=storage(self.endpoint, self.bucket),
                lines=lines,
                stall_seconds=10,
                attempts=3,
                pause_seconds=0.05,
            ) as store,
        ):
            place = _place(EDGE, store, self.endpoint, catalogue)
            places = {EDGE: place}
            if self.hub is not None:
                theirs = S3Store(site=HUB, settings=storage(*self.hub), lines=lines, stall_seconds=10, attempts=3)
                places[HUB] = _place(HUB, await stack.enter_async_context(theirs), self.hub[0])
            world = World(
                search=self.search,
                describe=self.describe,
                places=places,
                ledger=ledger,
                session=session,
                lines=lines,
                check=self.check,
                webhooks=webhooks or Webhooks(),
                folders=self.folders,
                ways=self.ways,
                recorded=self.recorded,
                politeness=self.politeness,
                beside=Beside(buckets=self.keys, allowed=(self.endpoint, *self.allowed)) if self.beside else None,
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


def _place(site: str, store: S3Store, endpoint: str, catalogue: FileCatalogue | None = None) -> Place:
    return Place(
        site=site, store=store, bucket=store.bucket, endpoint=endpoint, region="us-east-1", catalogue=catalogue
    )


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
        return await self._once(order_id, lambda order: order.settled, "settled", seconds)

    async def reached(self, order_id: str, state: str, seconds: float = 12.0) -> Order:
        """Wait until an order is in a state."""
        return await self._once(order_id, lambda order: order.state == state, state, seconds)

    async def _once(self, order_id: str, holds: Callable[[Order], bool], what: str, seconds: float) -> Order:
        async def told() -> Order | None:
            order = await self.harvester.status(order_id)
            return order if holds(order) else None

        try:
            return await until(told, seconds=seconds, pause=0.02)  # states pass
        except TimeoutError:
            raise AssertionError(f"not {what}: {await self.harvester.status(order_id)}") from None

    async def uploads(self, seconds: float = 10.0) -> None:
        """Wait until an upload has begun."""
        await until(self.store.list_uploads, seconds=seconds, pause=0.02, what="an upload")

    async def read(self, href: str) -> bytes:
        key = href.removeprefix(f"s3://{self.store.bucket}/")
        return b"".join([piece async for piece in self.store.get(key)])

    async def taken(self) -> dict[str, tuple[float, float]]:
        """Tell what is used and reserved, per resource."""
        usage = await self.ledger.usage([GROUP], "ann")
        return {each.policy.resource: (each.used, each.reserved) for each in usage}


def publish_item(scene: Scene, origin: Origin, bodies: dict[str, bytes]) -> dict[str, bytes]:
    """Let the search find one item, i1, with an asset of each body, size and SHA-256 announced; return the bodies."""
    assets = {}
    for name, body in bodies.items():
        origin.add(f"{name}.tif", body)
        assets[name] = {"href": f"{origin.url}/{name}.tif", "file:checksum": sha256(body), "file:size": len(body)}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", assets)))
    return bodies
