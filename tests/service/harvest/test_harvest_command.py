"""``lakegate harvest`` as a user runs it: a process of its own, against the faces over real sockets."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import web
from harvest_origin import Origin
from harvest_scene import EDGE, GROUP, HUB, Live, Scene, make_item, sha256
from served_app import served
from waiting import until

from gateway.harvests.face import HarvestsFace
from gateway.middleware import problems_middleware
from gateway.principal import PRINCIPAL, Principal
from gateway.processes.face import ProcessesFace
from harvest.model import FoundItem, JobFilter

pytestmark = pytest.mark.service

BODY = os.urandom(900_000)
BASE = "https://gate.example"
ORDER = ("order", "--target", EDGE, "--collections", "s2")


class Ended(NamedTuple):
    """How a command ended."""

    code: int | None
    out: str
    err: str


Command = Callable[..., Awaitable[Ended]]


@web.middleware
async def as_ann(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]):
    request[PRINCIPAL] = Principal(user="ann", groups=(GROUP,), charging_group=GROUP, admin=False)
    return await handler(request)


@asynccontextmanager
async def commands(scene: Scene) -> AsyncIterator[tuple[Live, Command]]:
    """Serve a harvester; yield what runs commands at it."""
    async with scene.running() as live:
        app = web.Application(middlewares=[problems_middleware, as_ann])
        app.add_routes(ProcessesFace(harvester=live.harvester, base=BASE).routes())
        app.add_routes(HarvestsFace(harvester=live.harvester, base=BASE, callback_hosts=()).routes())
        async with served(app) as url:

            async def command(*arguments: str) -> Ended:
                kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
                told = kept | {"LAKEGATE_URL": url, "LAKEGATE_TOKEN": "ann", "COLUMNS": "200"}
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "gateway", "harvest", *arguments,
                    env=told, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                out, err = await asyncio.wait_for(process.communicate(), 60)
                return Ended(process.returncode, out.decode(), err.decode())

            yield live, command


def publish(scene: Scene, origin: Origin, *, there: bool = True) -> None:
    if there:
        origin.add("B02.tif", BODY)
    asset = {"href": f"{origin.url}/B02.tif", "file:checksum": sha256(BODY), "file:size": len(BODY)}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", {"B02": asset})))


async def test_an_order_is_estimated_given_followed_with_its_rate_and_listed(scene, origin):
    publish(scene, origin)
    async with commands(scene) as (live, lakegate):
        said = await lakegate("estimate", "--target", EDGE, "--collections", "s2")
        assert (said.code, said.out.split(",")[0]) == (0, "1 items")
        ended = await lakegate(*ORDER)
        assert ended.code == 0, ended
        assert "successful" in ended.out
        assert "accepted" in ended.err
        assert "900.0/900.0 kB" in ended.err  # the bar: what is done of how much
        job = ended.out.split()[1]
        listed = await lakegate("list")
        assert job in listed.out
        item = await live.catalogue.plain("s2", "i1")
        assert await live.read(item["assets"]["B02"]["href"]) == BODY


async def test_a_job_is_paused_resumed_explained_and_cancelled(scene, origin):
    publish(scene, origin)
    origin.gate = asyncio.Event()
    scene.settings = msgspec.structs.replace(scene.settings, stall_seconds=60.0)  # commands take their time
    async with commands(scene) as (live, lakegate):
        given = await lakegate(*ORDER, "--no-wait", "--json")
        job = json.loads(given.out)["jobID"]
        assert "SUSPENDED" in (await lakegate("pause", job)).out
        assert "SUSPENDED" in (await lakegate("explain", job)).out
        assert "ACTIVE" in (await lakegate("resume", job)).out
        await until(lambda: origin.open > 0, seconds=20)
        gone = await lakegate("cancel", job)
        assert (gone.code, "dismissed" in gone.out) == (0, True)
        origin.gate.set()
        await live.settled(job)
        again = await lakegate("cancel", job)
        assert again.code != 0
        assert "cancelled before" in again.err
        assert [found async for found in live.store.list_objects()] == []


async def test_what_failed_is_told_and_tried_again(scene, origin):
    publish(scene, origin, there=False)
    async with commands(scene) as (live, lakegate):
        ended = await lakegate(*ORDER)
        assert ended.code == 1
        assert "B02" in ended.err
        assert "404" in ended.err
        job = ended.out.split()[1]
        origin.add("B02.tif", BODY)
        retried = await lakegate("retry", job)
        assert retried.code == 0, retried
        await live.reached(job, "OK")
        assert (await lakegate("status", job, "--wait")).code == 0


async def test_what_no_quota_is_for_ends_with_a_code_of_its_own(scene, origin):
    publish(scene, origin)
    scene.limits = {"storage_bytes": 1000}
    async with commands(scene) as (_, lakegate):
        assert (await lakegate("estimate", "--target", EDGE, "--collections", "s2")).code == 3
        refused = await lakegate(*ORDER)
        assert refused.code == 3
        assert "storage_bytes" in refused.err


async def test_a_rule_is_made_of_a_file_explained_and_ended(scene, origin, tmp_path: Path):
    publish(scene, origin)
    file = tmp_path / "rule.yaml"
    file.write_text(f"name: r\nsource: {{collections: [s2]}}\ntarget: {{edges: {EDGE}}}\nmode: once\n")
    async with commands(scene) as (live, lakegate):
        dry = await lakegate("rule", "create", str(file), "--dry-run", "--json")
        assert dry.code == 0, dry
        assert await live.harvester.jobs(JobFilter()) == ()
        made = await lakegate("rule", "create", str(file), "--json")
        assert made.code == 0, made
        rule = json.loads(made.out)["id"]

        async def done() -> bool:
            return "OK" in (await lakegate("rule", "explain", rule)).out

        await until(done, seconds=40)
        assert (await live.catalogue.plain("s2", "i1"))["assets"]["B02"]["href"].startswith("s3://")
