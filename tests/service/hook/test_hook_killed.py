"""A gateway is killed while it harvests for HOOK's orders; the next one ends them, under the same numbers."""

import asyncio
import contextlib
import multiprocessing
import os
import signal

import pytest
from hook_outside import FILES, SCENE
from hook_scene import Hook, World, external, listed, own_bucket
from waiting import until

pytestmark = pytest.mark.service


def serve(world: World) -> None:
    """Run a gateway until it is killed."""

    async def work() -> None:
        async with world.gateway():
            await asyncio.Event().wait()

    asyncio.run(work())


async def test_orders_outlive_a_gateway_that_is_killed(world, outside):
    outside.gate = asyncio.Event()
    portable = World(
        folder=world.folder, hub=world.hub, s3=world.s3, bucket=world.bucket, outside=type(outside)(outside.url)
    )
    portable.port = world.port
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(portable,))
    process.start()
    try:
        with Hook(f"http://127.0.0.1:{world.port}", "ann") as hook:

            async def answers():
                with contextlib.suppress(OSError):
                    return await hook.get("Workflows")

            await until(answers)
            private = await hook.order(source=external(outside), output=own_bucket(world))
            temporary = await hook.order()
            for number in (private, temporary):
                await hook.until(number, lambda told: told["Status"] == "in_progress")
            await until(lambda: sum(path.startswith(("/open/", "/closed/")) for path, _ in outside.seen) >= 2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.join, 20)
    outside.gate.set()
    async with world.gateway() as hook:
        told = (await hook.get("BatchOrder?$orderby=Id asc")).json()["value"]
        assert [each["Id"] for each in told] == [private, temporary]
        for number in (private, temporary):
            ended = await hook.ended(number, seconds=60)
            assert ended["Status"] == "completed", ended
        there = await asyncio.to_thread(listed, world.s3, f"{world.bucket}-own", f"mine/2023/{SCENE}/")
        assert sorted(there.values()) == sorted(map(len, FILES.values()))
        third = await hook.order()
        assert third > temporary
        await hook.ended(third)
