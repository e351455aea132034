"""Several gateways as processes of their own, which share a database and a key, behind a small balancer."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from pathlib import Path

import aiohttp
import pytest
from free_ports import free_port

LAKEGATE = str(Path(sys.executable).parent / "lakegate")
ROOT = "token-of-root"


class Replica:
    """A gateway process."""

    def __init__(self, folder, config):
        self.folder, self.port, self.process = folder, free_port(), None
        self.command, self.environment = (LAKEGATE,), {}
        folder.mkdir()
        server = {"port": self.port, "public_url": config["public_url"], "state": str(folder / "state")}
        self.file = folder / "gateway.yaml"
        server |= {"drain_seconds": 1.0, "shutdown_seconds": 10.0}
        self.file.write_text(json.dumps({"server": server, **config["rest"]}))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                *("serve", "--config", str(self.file)),
                stdout=log,
                stderr=log,
                env=dict(os.environ) | self.environment,
                cwd=self.folder,
            )
        async with asyncio.timeout(180):  # beside the load of a test, and of others
            while not await self.ready():
                assert self.process.returncode is None, (self.folder / "log").read_text()[-2_000:]
                await asyncio.sleep(0.05)

    async def ready(self):
        try:
            limit = aiohttp.ClientTimeout(total=3)
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(f"{self.url}/readyz") as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def stop(self):
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self.process.wait(), 30)

    def kill(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


class Balancer:
    """Passes connections on to replicas that say that they are ready, in turn: what a Service does."""

    def __init__(self, replicas):
        self.replicas, self.port, self._turn = replicas, free_port(), 0
        self._ready = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        probing = asyncio.create_task(self._probe())
        try:
            yield self
        finally:
            probing.cancel()
            server.close()
            with contextlib.suppress(asyncio.CancelledError):
                await probing  # one that ended by itself looked at nobody since: its error is the test's

    async def _probe(self):
        watched = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for each in set(self.replicas) - watched:
                    watched.add(each)
                    group.create_task(self._watch(each))
                await asyncio.sleep(0.1)

    async def _watch(self, replica):
        """Ask one replica again and again: another that answers slowly keeps nobody at this one."""
        while True:
            good = await replica.ready()
            self._ready = [each for each in self._ready if each is not replica] + [replica] * good
            await asyncio.sleep(0.1)

    async def _pass(self, reader, writer):
        self._turn += 1
        target = self._ready[self._turn % len(self._ready)]
        there, away = await asyncio.open_connection("127.0.0.1", target.port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_pump(reader, away), _pump(there, writer))


async def _pump(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
async def replicas(postgresql, tmp_path):
    """Start two gateways; ends them in any case."""
    (tmp_path / "database").write_text(postgresql)
    (tmp_path / "key").write_text(uuid.uuid4().hex)
    (tmp_path / "root").write_text(ROOT)
    items = tmp_path / "items"
    items.mkdir()
    for number in range(60):
        (items / f"{number}.json").write_text(json.dumps(item(number)))
    site_port = free_port()
    with (tmp_path / "site.log").open("wb") as log:
        site = await asyncio.create_subprocess_exec(
            LAKEGATE,
            "site",
            "serve",
            "--items",
            str(items),
            "--port",
            str(site_port),
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        )
    token = {"user": "root", "token": {"file": str(tmp_path / "root")}, "groups": ["ops"], "admin": True}
    rest = {
        "auth": {"tokens": [token], "signing_key": {"file": str(tmp_path / "key")}},
        "quotas": {
            "database": {"file": str(tmp_path / "database")},
            "database_schema": f"quotas_{uuid.uuid4().hex[:8]}",
        },
        "sites": [{"id": "edge-a", "kind": "edge", "catalogue": {"url": f"http://127.0.0.1:{site_port}"}}],
        "limits": {"probe_seconds": 0.5},
    }
    config = {"public_url": "http://lake.example", "rest": rest}
    found = [Replica(tmp_path / name, config) for name in ("first", "second")]
    try:
        await answered(f"http://127.0.0.1:{site_port}/")
        await asyncio.gather(*(each.start() for each in found))
        yield found
    finally:
        for each in found:
            each.kill()
        with contextlib.suppress(ProcessLookupError):
            site.kill()
        await asyncio.gather(site.wait(), *(each.process.wait() for each in found if each.process is not None))


async def answered(url):
    async with asyncio.timeout(180), aiohttp.ClientSession() as session:  # as for a replica
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)


def item(number):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"i{number:03}",
        "collection": "s2",
        "geometry": {"type": "Point", "coordinates": [number / 10, 45]},
        "bbox": [number / 10, 45, number / 10, 45],
        "properties": {"datetime": f"2026-01-01T00:{number:02}:00Z"},
        "assets": {},
        "links": [],
    }


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
