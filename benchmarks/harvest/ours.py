"""The harvester whole: an order is planned, reserved, carried out, registered and settled, by a journal on disk."""

import asyncio
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.harvest.servers import ACCESS, BUCKET, SECRET
from benchmarks.harvest.work import Job, name_of
from edges.catalogues.memory import MemoryCatalogue
from edges.lines.lines import Lines
from edges.model import Json, Query
from edges.settings import Secret, StorageSettings
from edges.storage.s3 import S3Store
from harvest.bucket_keys import Bucket
from harvest.carrying import SMALL_AT_ONCE
from harvest.claims import SMALL
from harvest.database_sqlite import SqliteDatabase
from harvest.harvester import Harvester
from harvest.model import FoundItem, OrderRequest
from harvest.seams import Beside, Place, World
from harvest.settings import HarvestSettings
from quotas.model import Charge
from quotas.sqlite import SqliteLedger


async def copied(job: Job) -> tuple[float, float]:
    """Carry out a job; return the seconds and the CPU seconds of the work itself, of all processes.

    Of the processes that are started for it the start counts, too.

    Raises:
        RuntimeError: the order did not end well.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
            )
        )
        lines = await stack.enter_async_context(Lines())
        endpoints = {"target": job.endpoint} | ({"hub": job.source} if job.kind == "s3" else {})
        places = {site: await _place(stack, lines, site, endpoint) for site, endpoint in endpoints.items()}
        buckets = {site: _bucket(endpoint) for site, endpoint in endpoints.items()}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = await stack.enter_async_context(SqliteLedger(folder / "quota.sqlite", []))
        world = World(
            search=lambda _: _found(job),
            describe=_nothing,
            places=places,
            ledger=ledger,
            session=session,
            lines=lines,
            check=lambda _: None,
            beside=Beside(buckets=buckets.get, allowed=(job.source, job.endpoint)),
        )
        at_once = SMALL_AT_ONCE if job.size <= SMALL else 1  # objects that one worker has on their way
        processes = int(os.environ.get("BENCH_PROCESSES", HarvestSettings().processes))
        settings = HarvestSettings(workers=max(1, job.at_once // at_once), processes=processes, idle_seconds=0.2)
        database = SqliteDatabase(folder / "harvest.sqlite")
        ended = asyncio.Event()
        harvester = Harvester(database=database, settings=settings, world=world, checkpoint=partial(_noted, ended))
        await stack.enter_async_context(harvester)
        gc.freeze()  # as the gateway does
        gc.set_threshold(10_000, 20, 20)
        began, cpu = time.monotonic(), time.process_time()
        request = OrderRequest(query=Query(collections=("bench",)), target="target")
        order = await harvester.submit(request, Charge(group="bench", user="bench"))
        await ended.wait()
        took = time.monotonic() - began
        cpu = time.process_time() - cpu
        order = await harvester.status(order.id)
        if order.state != "OK":
            raise RuntimeError(f"the order ended as {order.state}: {order.message}")
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, cpu + others.ru_utime + others.ru_stime


def _noted(ended: asyncio.Event, written: str) -> None:
    """Hear of each write; whoever asked again and again whether the order has ended would be measured, too."""
    if written == "order-finished":
        ended.set()


async def _place(stack: AsyncExitStack, lines: Lines, site: str, endpoint: str) -> Place:
    os.environ["BENCH_ACCESS"], os.environ["BENCH_SECRET"] = ACCESS, SECRET
    settings = StorageSettings(
        endpoint=endpoint,
        bucket=BUCKET,
        access_key=Secret(env="BENCH_ACCESS"),
        secret_key=Secret(env="BENCH_SECRET"),
        connections=64,
    )
    store = await stack.enter_async_context(S3Store(site=site, settings=settings, lines=lines))
    catalogue = MemoryCatalogue() if site == "target" else None
    return Place(site=site, store=store, bucket=BUCKET, endpoint=endpoint, region=settings.region, catalogue=catalogue)


def _bucket(endpoint: str) -> Bucket:
    return Bucket(
        bucket=BUCKET, endpoint=endpoint, region="us-east-1", access_key=ACCESS, secret_key=SECRET, connections=64
    )


async def _nothing(collection: str) -> Json | None:
    return None


async def _found(job: Job) -> AsyncIterator[FoundItem]:
    for number in range(job.count):
        name = job.prefix + name_of(number)
        href = f"s3://{BUCKET}/{name}" if job.kind == "s3" else f"{job.source}/{name}"
        asset = {"href": href, "file:size": job.size}
        item: Json = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": f"i{number}",
            "collection": "bench",
            "geometry": {"type": "Point", "coordinates": [7.0, 46.0]},
            "bbox": [7.0, 46.0, 7.0, 46.0],
            "properties": {"datetime": "2026-05-01T10:00:00Z"},
            "links": [],
            "assets": {"data": asset},
        }
        yield FoundItem(site="hub", item=item)


if __name__ == "__main__":
    seconds, cpu = asyncio.run(copied(msgspec.json.decode(sys.argv[1], type=Job)))
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu": cpu}) + "\n")
