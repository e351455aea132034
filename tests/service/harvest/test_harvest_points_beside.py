"""A process beside is killed (SIGKILL) between any two of its writes, or the gateway is that it carries for.

Everyday runs kill after some of the writes, spread over all; with ``LAKEGATE_KILL=all`` after each.
"""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from harvest_origin import Origin
from harvest_outcome import all_right
from harvest_points import Points, chosen, ended
from harvest_points_beside import begun, is_there, noting
from harvest_scene import Scene, publish_item, quick
from waiting import until

pytestmark = pytest.mark.service

COUNT = 4
"""Objects: of so few, the gateway carries one itself, and the process beside all others."""

SOME = 4
"""Points of an everyday run, for each of the two."""

TRIES = 10


class Run(NamedTuple):
    """What a process has written, and whether it was killed."""

    written: list[str]
    killed: bool


def publish(scene: Scene, origin: Origin) -> dict[str, bytes]:
    """Let all objects be on their way before the first arrives: who carries which is so the same in each run."""
    scene.beside, scene.allowed, scene.settings = True, [origin.url], quick(workers=1, processes=2)
    bodies = publish_item(scene, origin, {f"b{number}": os.urandom(2_000 + number) for number in range(COUNT)})

    async def all_asked_for() -> None:
        await until(lambda: len(origin.requests) >= COUNT, seconds=30, pause=0.01)

    origin.meeting = all_asked_for
    return bodies


async def finished(live, order_id: str, origin: Origin, bodies: dict[str, bytes]) -> None:
    """Let an order be carried out, and check all that is left."""
    assert (await live.settled(order_id, 30)).state == "OK"
    await all_right(live, bodies)
    assert max(Counter(path for path, _ in origin.requests).values()) <= 2


async def child_killed(_, scene: Scene, origin: Origin, fatal: int) -> Run:
    """Kill a process beside after a write; the gateway carries what it had in hand."""
    bodies, notes = publish(scene, origin), scene.folder / "notes"
    async with scene.running() as live:
        pid = await begun(live, noting(notes, fatal))
        order = await live.order()
        await finished(live, order.id, origin, bodies)
        killed = live.harvester.crew().deaths == 1
    assert not is_there(pid)
    return Run(notes.read_text().splitlines(), killed)


def gateway(scene: Scene, order_id: str, notes: Path, fatal: int) -> None:
    """Carry out an order together with a process beside: it is approved once that one is there."""

    async def work() -> None:
        async with scene.running() as live:
            notes.with_suffix(".pid").write_text(str(await begun(live)))
            Points(notes, fatal).watch()
            await live.harvester.control.approve(order_id)
            await live.settled(order_id, 30)

    asyncio.run(work())


async def gateway_killed(processes, scene: Scene, origin: Origin, fatal: int) -> Run:
    """Kill a gateway that a process beside carries for; another gateway finishes."""
    bodies, notes = publish(scene, origin), scene.folder / "notes"
    scene.settings = msgspec.structs.replace(scene.settings, approval_bytes=1)
    async with scene.running(workers=0) as live:
        order = await live.order()
    code = await ended(processes, gateway, scene.portable(), order.id, notes, fatal)
    assert code in (0, -signal.SIGKILL)
    await until(lambda: not is_there(int(notes.with_suffix(".pid").read_text())), seconds=10)
    async with scene.running() as live:
        if (await live.harvester.status(order.id)).state == order.state:
            await live.harvester.control.approve(order.id)
        await finished(live, order.id, origin, bodies)
    return Run(notes.read_text().splitlines(), code != 0)


PUT = {child_killed: COUNT - 1, gateway_killed: 1}
"""Who is killed, and how many objects it puts into the bucket where it lives."""


async def killed_once(killing, processes, scenes, origins, fatal: int) -> bool:
    """Kill after a write; tell whether there was one so late.

    Acts that come together are written down together, so that the last write of one run is not there in the next:
    this is tried again.
    """
    for _ in range(TRIES):
        async with scenes() as scene, origins() as origin:
            run = await killing(processes, scene, origin, fatal)
        assert run.killed == (len(run.written) >= fatal)
        if run.killed:
            return True
    return False


@pytest.mark.parametrize("killing", PUT)
async def test_a_process_beside_or_its_gateway_killed_between_any_two_writes_leaves_what_another_finishes(
    processes, scenes, origins, record_property, killing
):
    """One test of many kills: how many there are is known only after the first, which is none."""
    async with scenes() as scene, origins() as origin:
        written, killed = await killing(processes, scene, origin, 0)
    assert not killed
    assert written.count("bucket put") == PUT[killing]
    kills = 0
    for fatal in chosen(len(written), SOME):
        try:
            kills += await killed_once(killing, processes, scenes, origins, fatal)
        except BaseException as error:
            error.add_note(f"killed after write {fatal} of {len(written)}: {written[fatal - 1]}")
            raise
    record_property("kills", kills)
    record_property("writes", len(written))
    print(f"\n{killing.__name__}: killed after {kills} of {len(written)} writes")
