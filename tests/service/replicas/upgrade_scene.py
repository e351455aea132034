"""A lake whose gateways are processes: a hub, an edge with a bucket, a database of its own, and the next release.

The next release is this one with one migration more in each schema: what the old replica sees while the new one comes.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sys
import uuid
from pathlib import Path

import asyncpg
from aiohttp import web
from conftest import LAKEGATE, ROOT, Replica, answered, item
from free_ports import free_port
from s3_bucket import ACCESS, SECRET
from served_app import served

from harvest.postgres_words import schema_script
from harvest.sql import migrations
from quotas.schema import scripts

PACKAGES = ("gateway", "edges", "harvest", "quotas")
CHECKOUT = Path(__file__).resolve().parents[3]
OBJECTS, SIZE = 6, 200_000
LARGE = 24 << 20
ADDED_TO_HARVESTS = """
ALTER TABLE orders ADD COLUMN next_release TEXT NOT NULL DEFAULT 'yes';
ALTER TABLE objects ADD COLUMN next_release INTEGER;
ALTER TABLE items ADD COLUMN next_release INTEGER;
CREATE TABLE of_the_next_release (id TEXT PRIMARY KEY) STRICT;
"""
ADDED_TO_LEDGER = "ALTER TABLE policy ADD COLUMN next_release text; CREATE TABLE of_the_next_release (id text);"
INSERT_OLD = """
INSERT INTO orders (id, "user", charged, fingerprint, request, target, state, created, updated, settled)
VALUES ('of-before', 'root', 'ops', 'f', '{"query": {"collections": ["s2"]}, "target": "edge-a"}', 'edge-a',
  'OK', 1e9, 1e9, 1)
"""


class Origin:
    """Files by HTTP. While ``gate`` is shut, no file ends: all but the last byte is sent."""

    def __init__(self):
        self.files, self.gate, self.begun = {}, asyncio.Event(), set()
        self.gate.set()
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_get("/{name}", self._send)
        async with served(app) as self.url:
            try:
                yield self
            finally:
                self.gate.set()

    async def _send(self, request):
        name = request.match_info["name"]
        body = self.files[name]
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), "ETag": f'"{name}"'})
        await response.prepare(request)
        self.begun.add(name)
        with contextlib.suppress(ConnectionError):
            await response.write(body[:-1])
            await self.gate.wait()
            await response.write(body[-1:])
        return response


def next_release(folder):
    """Make the packages of the next release; return the environment in which ``lakegate`` is that one."""
    for name in PACKAGES:
        shutil.copytree(CHECKOUT / name, folder / name)  # with what is compiled: times are copied, so it holds there
    (folder / "harvest" / "migrations" / f"{len(migrations()) + 1:04}_next.sql").write_text(ADDED_TO_HARVESTS)
    number = scripts("quotas.postgres.migrations")[-1][0] + 1
    (folder / "quotas" / "postgres" / "migrations" / f"{number:04}_next.sql").write_text(ADDED_TO_LEDGER)
    return {"PYTHONPATH": str(folder)}


async def database_of_the_last_release(postgresql):
    """Make a database whose schemas are one step behind this release's; return its URI."""
    name = f"upgrade_{uuid.uuid4().hex[:8]}"
    raw = await asyncpg.connect(postgresql)
    await raw.execute(f"CREATE DATABASE {name}")
    await raw.close()
    dsn = postgresql.replace("/postgres?", f"/{name}?")
    raw = await asyncpg.connect(dsn)
    harvests = [schema_script(each) for each in migrations()[:-1]]
    ledger = [script for _, script in scripts("quotas.postgres.migrations")[:-1]]
    for schema, steps in (("lakegate_harvest", harvests), ("lakegate_quotas", ledger)):
        await raw.execute(f"CREATE SCHEMA {schema}; SET search_path TO {schema}")
        await raw.execute("CREATE TABLE migration (number integer PRIMARY KEY)")
        for number, step in enumerate(steps, 1):
            await raw.execute(step)
            await raw.execute("INSERT INTO migration VALUES ($1)", number)
    await raw.execute("SET search_path TO lakegate_harvest")
    await raw.execute(INSERT_OLD)
    await raw.close()
    return dsn


class Lake:
    """What gateways are started over."""

    def __init__(self, folder, origin):
        self.folder, self.origin, self.sites, self.rest = folder, origin, [], {}
        self.bodies = {f"i{number:03}": os.urandom(SIZE) for number in range(OBJECTS)}
        self.large = os.urandom(LARGE)

    async def prepare(self, store, dsn):
        """Run the sites; ``dsn`` is empty for a gateway with files of its own."""
        items = self.folder / "items"
        items.mkdir()
        for number, (name, body) in enumerate(self.bodies.items()):
            self._write(items / f"{name}.json", item(number), f"{name}.bin", body)
        self._write(items / "large.json", item(99) | {"id": "large", "collection": "big"}, "large.bin", self.large)
        for name, text in (("database", dsn), ("key", uuid.uuid4().hex), ("root", ROOT), ("write", uuid.uuid4().hex)):
            (self.folder / name).write_text(text)
        hub = await self._site("hub", "--items", str(items))
        edge = await self._site(
            "edge", "--db", str(self.folder / "edge.db"), "--write-token-file", str(self.folder / "write")
        )
        token = {"user": "root", "token": self._secret("root"), "groups": ["ops"], "admin": True}
        day = {"name": "day", "group": "*", "resource": "requests", "kind": "window", "amount": 1e6}
        storage = {"access_key": {"env": "TEST_ACCESS"}, "secret_key": {"env": "TEST_SECRET"}}
        self.rest = {
            "auth": {"tokens": [token], "signing_key": self._secret("key")},
            "quotas": {"policies": [day | {"window_seconds": 86_400}]}
            | ({"database": self._secret("database")} if dsn else {}),
            "harvest": {
                "workers": 2, "claim_seconds": 2, "idle_seconds": 0.2, "pause_seconds": 0.2,
                "allowed_origins": [self.origin.url],
            },
            "limits": {"probe_seconds": 0.5},
            "sites": [
                {
                    "id": "hub", "kind": "hub", "catalogue": {"url": hub}, "asset_origins": [self.origin.url],
                },
                {
                    "id": "edge-a", "kind": "edge",
                    "catalogue": {"url": edge, "write_token": self._secret("write")},
                    "storage": {"endpoint": store, "bucket": "harvest", **storage},
                },
            ],
        }  # fmt: skip

    def replica(self, name, environment=None):
        """Return a gateway, not started yet; ``environment`` may make it one of the next release."""
        config = {"public_url": "http://lake.example", "rest": self.rest}
        found = Replica(self.folder / name, config)
        found.environment = {"TEST_ACCESS": ACCESS, "TEST_SECRET": SECRET} | (environment or {})
        found.command = (sys.executable, "-m", "gateway")
        return found

    async def close(self):
        for each in self.sites:
            with contextlib.suppress(ProcessLookupError):
                each.kill()
        await asyncio.gather(*(each.wait() for each in self.sites))

    def _secret(self, name):
        return {"file": str(self.folder / name)}

    def _write(self, file, found, name, body):
        self.origin.files[name] = body
        checksum = f"1220{hashlib.sha256(body).hexdigest()}"
        asset = {"href": f"{self.origin.url}/{name}", "file:size": len(body), "file:checksum": checksum}
        file.write_text(json.dumps(found | {"stac_version": "1.1.0", "assets": {"data": asset}}))

    async def _site(self, name, *arguments):
        port = free_port()
        with (self.folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                LAKEGATE, "site", "serve", *arguments, "--port", str(port), stdout=log, stderr=log, cwd=self.folder
            )
        self.sites.append(process)
        await answered(f"http://127.0.0.1:{port}/")
        return f"http://127.0.0.1:{port}"
