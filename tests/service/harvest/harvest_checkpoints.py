"""A harvester in a process of its own, killed where it has reached one of its checkpoints."""

import asyncio
import os
import signal

from harvest_points import ended
from harvest_scene import Scene


def run_until_killed(scene: Scene, order_id: str, name: str, nth: int) -> None:
    """Run a harvester in this process, and kill the process after a write."""
    seen = 0

    def checkpoint(reached: str) -> None:
        nonlocal seen
        if reached == name:
            seen += 1
            if seen == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    async def work() -> None:
        async with scene.running(workers=1, checkpoint=checkpoint) as live:
            await live.settled(order_id, 20)

    asyncio.run(work())


async def killed(processes, scene: Scene, order_id: str, name: str, nth: int) -> int | None:
    """Carry out an order in a process that is killed after the ``nth`` write of a name; return its exit code."""
    return await ended(processes, run_until_killed, scene.portable(), order_id, name, nth)
