"""Upgrades under load: schemas go forward, old and new replicas work side by side, and nothing is lost or refused."""

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field

import aiohttp
import pytest
from conftest import LAKEGATE, ROOT, Balancer
from s3_bucket import ACCESS, SECRET, served_bucket
from upgrade_scene import INSERT_OLD, OBJECTS, Lake, Origin, database_of_the_last_release, next_release
from waiting import until

from harvest.sql import migrations

pytestmark = pytest.mark.service

HEADERS = {"Authorization": f"Bearer {ROOT}"}
ASYNC = {"Prefer": "respond-async"}
WISH = {"inputs": {"target": "edge-a", "collections": ["s2"]}}
LARGE = "/data/hub/big/large/data"


@dataclass
class Load:
    """What users do meanwhile, again and again, and how each request ended."""

    url: str
    session: aiohttp.ClientSession
    ends: dict[object, int] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, name, path, method="GET", **options):
        try:
            async with self.session.request(method, self.url + path, **options) as response:
                body = await response.read()
                end = response.status if response.status < 400 else (response.status, body[:300])
        except (aiohttp.ClientError, TimeoutError) as error:
            body, end = b"{}", repr(error)
        key = (name, end)
        self.ends[key] = self.ends.get(key, 0) + 1
        return json.loads(body) if isinstance(end, int) else {}

    async def reading(self):
        while not self.done.is_set():
            await self.ask("search", "/search?limit=3")
            await self.ask("jobs", "/jobs")
            await asyncio.sleep(0.02)  # more would keep the replicas that start from starting

    async def ordering(self):
        while not self.done.is_set():
            prefix = {"prefix": f"order-{len(self.orders)}/"}
            wish = {"inputs": WISH["inputs"] | prefix}
            made = await self.ask("order", "/processes/harvest/execution", "POST", json=wish, headers=ASYNC)
            if made:
                self.orders.append(made["jobID"])
                await self.until_done(made["jobID"])

    async def until_done(self, job):
        while (told := await self.ask("job", f"/jobs/{job}")).get("status") != "successful":
            assert told.get("status") in {None, "accepted", "running"}, told
            await asyncio.sleep(0.05)

    @property
    def count(self):
        return sum(self.ends.values())


@asynccontextmanager
async def lake_of(folder, dsn):
    async with AsyncExitStack() as stack:
        (folder / "store").mkdir()
        store = stack.enter_context(served_bucket(folder / "store", "harvest"))
        lake = Lake(folder, await stack.enter_async_context(Origin().serving()))
        stack.push_async_callback(lake.close)
        await lake.prepare(store, dsn)
        yield lake


@asynccontextmanager
async def ended(replicas):
    try:
        yield
    finally:
        for each in replicas:
            each.kill()
        await asyncio.gather(*(each.process.wait() for each in replicas if each.process is not None))


@asynccontextmanager
async def working(each):
    tasks = [asyncio.create_task(one) for one in each]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def lakegate(*arguments):
    environment = dict(os.environ) | {"TEST_ACCESS": ACCESS, "TEST_SECRET": SECRET}
    done = subprocess.run(
        [LAKEGATE, *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    return done.returncode, done.stdout + done.stderr


async def replaced(old, new, balancer, load):
    """Replace a replica as a Deployment does: the new one first, then the old one is told to stop."""
    balancer.replicas.append(new)
    await new.start()
    await until(lambda: new in balancer._ready)
    before = load.count
    await until(lambda: load.count >= before + 20)  # both at work, side by side
    await old.stop()
    assert old.process.returncode == 0


async def test_a_rolling_upgrade_under_load_loses_nothing_and_fails_no_request(postgresql, tmp_path):
    dsn = await database_of_the_last_release(postgresql)
    coming = next_release(tmp_path / "next")
    async with lake_of(tmp_path, dsn) as lake:
        old = [lake.replica("old-0"), lake.replica("old-1")]
        new = [lake.replica("new-0", coming), lake.replica("new-1", coming)]
        async with (
            ended([*old, *new]),
            Balancer(list(old)).serving() as balancer,
            aiohttp.ClientSession(headers=HEADERS) as session,
            AsyncExitStack() as stack,
        ):
            code, told = await asyncio.to_thread(lakegate, "db", "check", "--config", str(old[0].file))
            assert code == 3, told
            assert f"harvest: schema {len(migrations()) - 1} of {len(migrations())}" in told
            await asyncio.gather(*(each.start() for each in old))
            await until(lambda: len(balancer._ready) == 2)
            assert (await asyncio.to_thread(lakegate, "db", "check", "--config", str(old[0].file)))[0] == 0

            load = Load(balancer.url, session)
            lake.origin.gate.clear()  # harvests and a download are in flight while replicas come and go
            wish = {"inputs": WISH["inputs"] | {"prefix": "in-flight/"}}
            under_way = await load.ask("order", "/processes/harvest/execution", "POST", json=wish, headers=ASYNC)
            await until(lambda: len(lake.origin.begun) >= 2)
            download = await session.get(old[0].url + LARGE)
            assert download.status == 200, await download.text()
            digest = hashlib.sha256(await download.content.readexactly(1 << 16))

            tasks = await stack.enter_async_context(working([load.reading() for _ in range(2)]))
            balancer.replicas.append(new[0])
            await new[0].start()
            await until(lambda: new[0] in balancer._ready)
            stopping = asyncio.create_task(old[0].stop())
            await until(lambda: old[0] not in balancer._ready)
            lake.origin.gate.set()
            async for chunk in download.content.iter_any():
                digest.update(chunk)
            download.close()
            await stopping
            assert digest.digest() == hashlib.sha256(lake.large).digest()

            tasks += await stack.enter_async_context(working([load.ordering()]))
            await replaced(old[1], new[1], balancer, load)
            await until(lambda: len(load.orders) >= 2)
            load.done.set()
            await asyncio.gather(*tasks)
            await asyncio.wait_for(load.until_done(under_way["jobID"]), 60)

            assert {end for _, end in load.ends} <= {200, 201}, load.ends
            assert {name for name, _ in load.ends} == {"search", "jobs", "order", "job"}
            for replica in new:
                for job in ("of-before", under_way["jobID"], *load.orders):
                    async with session.get(f"{replica.url}/jobs/{job}") as response:
                        assert (await response.json())["status"] == "successful"
            code, told = await asyncio.to_thread(lakegate, "serve", "--config", str(old[0].file))
            assert code == 1, told
            assert "newer" in told
            assert "Traceback" not in told
        stored = [each for each in (tmp_path / "store").rglob("*") if each.is_file()]
        assert {each.read_bytes() for each in stored} == set(lake.bodies.values())
        assert len(stored) == OBJECTS  # the later orders found them there


async def test_a_gateway_with_files_takes_those_of_the_last_release_forward(tmp_path):
    async with lake_of(tmp_path, "") as lake:
        replica = lake.replica("alone")
        state = replica.folder / "state"
        state.mkdir()
        with closing(sqlite3.connect(state / "harvest.sqlite")) as raw:
            for script in migrations()[:-1]:
                raw.executescript(script)
            raw.execute(INSERT_OLD)
            raw.execute(f"PRAGMA user_version = {len(migrations()) - 1}")
            raw.commit()
        async with ended([replica]), aiohttp.ClientSession(headers=HEADERS) as session:
            await replica.start()
            load = Load(replica.url, session)
            made = await load.ask("order", "/processes/harvest/execution", "POST", json=WISH, headers=ASYNC)
            await asyncio.wait_for(load.until_done(made["jobID"]), 60)
            assert (await load.ask("job", "/jobs/of-before"))["status"] == "successful"
            await replica.stop()
        with closing(sqlite3.connect(state / "harvest.sqlite")) as raw:
            assert raw.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
