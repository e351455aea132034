"""A harvester is killed (SIGKILL) between any two writes of a removal; the next one goes on from there."""

import asyncio
import os
import signal

import pytest
from harvest_scene import HUB, Scene, make_item, sha256
from waiting import until

from harvest.model import FoundItem

pytestmark = pytest.mark.service

BODY = b"pixels" * 500
WRITES = ["released", "registered", "registration-remembered", "deleted", "given-back", "give-back-remembered"]


def run_until_killed(scene: Scene, name: str) -> None:
    """Run a harvester in this process, and kill the process at the first such write after the hold has ended."""
    released = False

    def checkpoint(reached: str) -> None:
        nonlocal released
        released = released or reached == "released"
        if released and reached == name:
            os.kill(os.getpid(), signal.SIGKILL)

    async def work() -> None:
        async with scene.running(workers=1, checkpoint=checkpoint):
            await asyncio.sleep(60)  # it is killed long before

    asyncio.run(work())


@pytest.mark.parametrize("name", WRITES)
async def test_a_removal_killed_after_any_write_leaves_nothing_and_gives_the_storage_back(
    processes, scene, origin, name
):
    origin.add("B02.tif", BODY)
    asset = {"href": f"{origin.url}/B02.tif", "file:checksum": sha256(BODY), "file:size": len(BODY)}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", {"B02": asset})))
    async with scene.running(workers=1) as live:
        order = await live.order(lifetime=2.0)
        await live.settled(order.id)
    portable = scene.portable()
    process = processes.Process(target=run_until_killed, args=(portable, name))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -signal.SIGKILL
    async with scene.running(workers=1) as live:

        async def nothing_left():
            left = [found.key async for found in live.store.list_objects()]
            return not left and (await live.taken())["storage_bytes"] == (0, 0)

        await until(nothing_left)
        assert await live.catalogue.plain("s2", "i1") is None
