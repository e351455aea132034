"""A harvester is killed (SIGKILL) between any two writes of a removal; the next one goes on from there."""

import asyncio
import os
import signal

import pytest
from harvest_points import ended
from harvest_scene import Scene, publish_item
from waiting import until

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
    publish_item(scene, origin, {"B02": BODY})
    async with scene.running(workers=1) as live:
        order = await live.order(lifetime=2.0)
        await live.settled(order.id)
    assert await ended(processes, run_until_killed, scene.portable(), name) == -signal.SIGKILL
    async with scene.running(workers=1) as live:

        async def nothing_left():
            left = [found.key async for found in live.store.list_objects()]
            return not left and (await live.taken())["storage_bytes"] == (0, 0)

        await until(nothing_left)
        assert await live.catalogue.plain("s2", "i1") is None
