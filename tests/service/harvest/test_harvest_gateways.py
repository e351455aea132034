"""Two gateways, processes of their own on one PostgreSQL, share orders; one of them is killed."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from free_ports import free_port
from harvest_scene import make_item, sha256
from s3_bucket import ACCESS, SECRET
from waiting import until

pytestmark = pytest.mark.service

LAKEGATE = str(Path(sys.executable).parent / "lakegate")
TOKEN = uuid.uuid4().hex
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Prefer": "respond-async"}
OBJECTS, SIZE = 12, 3_000_000


async def started(folder, name, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= {"TEST_S3_ACCESS": ACCESS, "TEST_S3_SECRET": SECRET}
    with (folder / f"{name}.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            LAKEGATE, *arguments, stdout=log, stderr=log, cwd=folder, env=environment
        )


async def answered(session, url, seconds=300.0):
    async def answers():
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(url) as response:
                return response.status == 200

    await until(answers, seconds=seconds, what=url)


class Gateways:
    """Two gateways, their sites, and what is in the hub."""

    def __init__(self, folder, session, postgresql):
        self.folder, self.session, self.postgresql = folder, session, postgresql
        self.ports = [free_port(), free_port()]
        self.processes = []

    def url(self, number):
        return f"http://127.0.0.1:{self.ports[number]}"

    async def prepare(self, s3, bucket, origin):
        hub, edge = free_port(), free_port()
        for name, text in (("token", TOKEN), ("key", uuid.uuid4().hex), ("write", uuid.uuid4().hex)):
            (self.folder / name).write_text(text)
        (self.folder / "database").write_text(await self._database())
        items = str(self.folder / "items")
        self.processes.append(await started(self.folder, "hub", "site", "serve", "--items", items, "--port", str(hub)))
        writable = ("--db", str(self.folder / "edge.db"), "--write-token-file", str(self.folder / "write"))
        self.processes.append(await started(self.folder, "edge", "site", "serve", *writable, "--port", str(edge)))
        keys = {"access_key": {"env": "TEST_S3_ACCESS"}, "secret_key": {"env": "TEST_S3_SECRET"}}
        storage = {"endpoint": s3, "bucket": bucket, **keys}
        edge_catalogue = {"url": f"http://127.0.0.1:{edge}", "write_token": {"file": str(self.folder / "write")}}
        self.config = {
            "auth": {
                "signing_key": {"file": str(self.folder / "key")},
                "tokens": [{"user": "ann", "token": {"file": str(self.folder / "token")}, "groups": ["root"]}],
            },
            "quotas": {"database": {"file": str(self.folder / "database")}},
            "harvest": {
                "workers": 2, "claim_seconds": 2, "idle_seconds": 0.2, "allowed_origins": [origin.url],
                "pause_seconds": 0.2,
            },
            "limits": {"probe_seconds": 0.5},
            "sites": [
                {"id": "hub", "kind": "hub", "catalogue": {"url": f"http://127.0.0.1:{hub}"}},
                {"id": "edge-a", "kind": "edge", "catalogue": edge_catalogue, "storage": storage},
            ],
        }  # fmt: skip
        await answered(self.session, f"http://127.0.0.1:{hub}/")
        await answered(self.session, f"http://127.0.0.1:{edge}/")

    async def _database(self):
        name = f"two_{uuid.uuid4().hex[:8]}"
        raw = await asyncpg.connect(self.postgresql)
        await raw.execute(f"CREATE DATABASE {name}")
        await raw.close()
        return self.postgresql.replace("/postgres?", f"/{name}?")

    async def start(self, number):
        server = {"port": self.ports[number], "state": str(self.folder / f"state-{number}")}
        file = self.folder / f"gateway-{number}.json"
        file.write_text(json.dumps({"server": server, **self.config}))
        process = await started(self.folder, f"gateway-{number}", "serve", "--config", str(file))
        self.processes.append(process)
        await answered(self.session, f"{self.url(number)}/readyz")
        return process

    async def ask(self, number, path, method="GET", **options):
        url = self.url(number) + path
        async with self.session.request(method, url, headers=HEADERS, **options) as response:
            return response.status, await response.json(content_type=None)

    async def job(self, number, job, state, seconds=90.0):
        async def there():
            _, told = await self.ask(number, f"/jobs/{job}")
            if told["status"] == state:
                return told
            if told["status"] == "failed":
                raise AssertionError((await self.ask(number, f"/jobs/{job}/explain"))[1])
            return None

        return await until(there, seconds=seconds, what=state)

    async def close(self):
        for each in self.processes:
            with contextlib.suppress(ProcessLookupError):
                each.kill()
        await asyncio.gather(*(each.wait() for each in self.processes))


@pytest.fixture
async def gateways(tmp_path, postgresql, s3, scene, origin):
    bodies = {f"part-{number:02}": os.urandom(SIZE) for number in range(OBJECTS)}
    (tmp_path / "items").mkdir()
    for name, body in bodies.items():
        origin.add(f"{name}.tif", body)
        assets = {"data": {"href": f"{origin.url}/{name}.tif", "file:checksum": sha256(body), "file:size": len(body)}}
        (tmp_path / "items" / f"{name}.json").write_text(json.dumps(make_item(name, assets)))
    async with aiohttp.ClientSession() as session:
        there = Gateways(tmp_path, session, postgresql)
        there.bodies, there.scene, there.origin = bodies, scene, origin
        try:
            await there.prepare(s3, scene.bucket, origin)
            yield there
        finally:
            await there.close()


async def test_what_one_gateway_was_doing_the_other_finishes_when_it_is_killed(gateways):
    first = await gateways.start(0)
    await gateways.start(1)
    origin = gateways.origin
    origin.gate = asyncio.Event()
    wish = {"inputs": {"target": "edge-a", "collections": ["s2"]}}
    status, told = await gateways.ask(0, "/processes/harvest/execution", "POST", json=wish)
    assert status == 201, told
    job = told["jobID"]
    assert (await gateways.job(1, job, "running"))["jobID"] == job
    await until(lambda: len({path for path, _ in origin.requests}) >= 3)  # both have work in hand: two workers each
    first.send_signal(signal.SIGKILL)
    await first.wait()
    origin.gate.set()
    assert (await gateways.job(1, job, "successful"))["progress"] == 100
    async with gateways.scene.running(workers=0) as live:
        keys = [each.key async for each in live.store.list_objects()]
        assert len(keys) == OBJECTS
        assert await live.store.list_uploads() == []
        for name, body in gateways.bodies.items():
            _, item = await gateways.ask(1, f"/collections/s2/items/{name}")
            hrefs = [each["href"] for each in _copies(item)]
            assert len(hrefs) == 1, item["assets"]
            assert await live.read(hrefs[0]) == body
    begun = [path for path, asked in origin.requests if not asked or asked.startswith("bytes=0-")]
    assert len(begun) <= OBJECTS + 2  # what the dead one's two workers had in hand

    # Any of them, also one that comes later, answers for all orders.
    await gateways.start(0)
    status, listed = await gateways.ask(0, "/jobs")
    assert [each["jobID"] for each in listed["jobs"]] == [job]
    status, again = await gateways.ask(0, f"/jobs/{job}/results")
    assert status == 200, again


def _copies(item):
    """Return what an item tells of copies in the edge's bucket."""
    for asset in item["assets"].values():
        for each in (asset, *asset.get("alternate", {}).values()):
            if each["href"].startswith("s3://"):
                yield each


async def test_two_gateways_take_one_order_of_one_key_once(gateways):
    await asyncio.gather(gateways.start(0), gateways.start(1))
    wish = {"inputs": {"target": "edge-a", "collections": ["s2"]}}

    async def order(number):
        url = f"{gateways.url(number)}/processes/harvest/execution"
        headers = HEADERS | {"Idempotency-Key": "the same"}
        async with gateways.session.post(url, json=wish, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    answers = await asyncio.gather(*(order(number % 2) for number in range(6)))
    taken = {told["jobID"] for status, told in answers if status in (200, 201)}
    assert len(taken) == 1
    assert {status for status, _ in answers} <= {200, 201, 409}
    job = taken.pop()
    await gateways.job(0, job, "successful")
    _, listed = await gateways.ask(1, "/jobs")
    assert [each["jobID"] for each in listed["jobs"]] == [job]
    assert len({path for path, _ in gateways.origin.requests}) == len(gateways.origin.requests) == OBJECTS
