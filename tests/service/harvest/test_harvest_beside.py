"""Small objects are shared with processes beside: killed or hanging, nothing is lost, and nothing comes twice."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harvest_origin import Origin
from harvest_outcome import all_arrived
from harvest_points_beside import is_there
from harvest_scene import Scene, publish_item, quick
from s3_bucket import SECRET
from waiting import until

from edges.settings import PolitenessSettings

pytestmark = pytest.mark.service

COUNT = 400
ROUNDS = 8 if os.environ.get("LAKEGATE_KILL") == "all" else 1
"""How often a process is killed, each time a little later."""

PATIENCE = 30.0
"""Seconds without a word after which a process hangs, where none does: a busy machine may hold it up."""


def publish(scene: Scene, origin: Origin) -> dict[str, bytes]:
    scene.beside, scene.allowed = True, [origin.url]
    return publish_item(scene, origin, {f"b{number}": os.urandom(2_000 + number) for number in range(COUNT)})


def living(live) -> list[int]:
    return [each.pid for each in live.harvester.crew().living]


def held(live) -> int:
    return sum(each.in_hand for each in live.harvester.crew().living)


def told_to(pid: int) -> bytes:
    """Return what anybody on the machine may read of how a process was started."""
    return Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()


def close(origin: Origin) -> None:
    """Let all bodies wait from now on, until the gate is opened."""
    origin.gate = asyncio.Event()


async def held_back(live, origin: Origin) -> int:
    """Let a process begin while the source waits; return it once it has something in hand."""
    await until(lambda: living(live), seconds=30)
    origin.gate.set()
    await until(lambda: held(live), seconds=30, pause=0.001)
    close(origin)
    await until(lambda: held(live), seconds=30, pause=0.001)
    return living(live)[0]


@asynccontextmanager
async def sharing(scene: Scene, origin: Origin, **settings):
    """Begin to carry many small objects, of which a process beside has some in hand; the source waits."""
    bodies = publish(scene, origin)
    close(origin)
    scene.settings = quick(processes=2, **settings)
    async with scene.running() as live:
        order = await live.order()
        pid = await held_back(live, origin)
        yield live, order, bodies, pid


async def all_is_right(live, order, bodies, origin, most=1) -> None:
    origin.gate.set()
    assert (await live.settled(order.id, 60)).state == "OK"
    await all_arrived(live, bodies)
    total = sum(map(len, bodies.values()))
    taken = await live.taken()
    assert (taken["storage_bytes"], taken["harvest_bytes"][1]) == ((total, 0), 0)
    asked = Counter(path for path, _ in origin.requests)
    assert max(asked.values()) <= most


async def test_many_small_objects_are_shared_with_a_process_beside(scene, origin):
    async with sharing(scene, origin, claim_seconds=PATIENCE) as (live, order, bodies, pid):
        await all_is_right(live, order, bodies, origin)
        figures = live.harvester.crew()
        assert (living(live), figures.deaths) == ([pid], 0)
        assert 0 < figures.carried < COUNT
    assert not is_there(pid)


async def test_a_process_beside_knows_no_secret_by_its_environment_or_command(scene, origin, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "not-for-children")
    async with sharing(scene, origin, claim_seconds=PATIENCE) as (live, order, bodies, pid):
        told = told_to(pid)
        assert SECRET.encode() not in told
        assert b"not-for-children" not in told
        await all_is_right(live, order, bodies, origin)


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_what_a_killed_process_had_in_hand_is_carried_by_others(scene, origin, number):
    async with sharing(scene, origin) as (live, order, bodies, pid):
        if number:  # in the middle of reading, writing, and telling
            origin.gate.set()
            carried = live.harvester.crew().carried + 10 * number
            await until(lambda: live.harvester.crew().carried >= carried or not living(live), seconds=30, pause=0.001)
        os.kill(pid, signal.SIGKILL)
        await all_is_right(live, order, bodies, origin, most=2)
        assert live.harvester.crew().deaths == 1
        assert pid not in living(live)
    assert not is_there(pid)


async def test_a_process_that_hangs_is_ended_and_its_objects_are_carried_by_others(scene, origin):
    async with sharing(scene, origin) as (live, order, bodies, pid):
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: pid not in living(live), seconds=30)
        await all_is_right(live, order, bodies, origin, most=2)
    assert not is_there(pid)


async def test_cancelling_an_order_stops_what_a_process_beside_has_in_hand(scene, origin):
    async with sharing(scene, origin) as (live, order, _, _pid):
        await live.harvester.cancel(order.id)
        await until(lambda: not held(live), seconds=30)
        origin.gate.set()
        assert (await live.settled(order.id, 30)).state == "CANCELLED"
        assert (await live.taken())["harvest_bytes"][1] == 0


async def test_a_gateway_that_is_left_ends_its_process_and_another_goes_on(scene, origin):
    async with sharing(scene, origin) as (_, order, bodies, pid):
        pass
    assert not is_there(pid)
    async with scene.running() as live:
        await all_is_right(live, order, bodies, origin, most=2)


def run_until_killed(scene: Scene, pids: Path) -> None:
    """Run a harvester that tells which process it has started, until it is killed."""

    async def work() -> None:
        async with scene.running() as live:
            await until(lambda: living(live), seconds=30)
            pids.with_suffix(".new").write_text(str(living(live)[0]))
            pids.with_suffix(".new").rename(pids)
            await asyncio.Event().wait()

    asyncio.run(work())


async def test_a_process_beside_ends_with_a_gateway_that_was_killed(processes, scene, origin, tmp_path):
    bodies = publish(scene, origin)
    close(origin)
    scene.settings = quick(processes=2)
    async with scene.running(workers=0) as live:
        order = await live.order()
    gateway = processes.Process(target=run_until_killed, args=(scene.portable(), tmp_path / "pids"))
    gateway.start()
    await until((tmp_path / "pids").exists, seconds=60)
    pid = int((tmp_path / "pids").read_text())
    gateway.kill()
    await asyncio.to_thread(gateway.join, 30)
    await until(lambda: not is_there(pid), seconds=10)
    async with scene.running() as live:
        await all_is_right(live, order, bodies, origin, most=2)


async def test_few_objects_start_no_process(scene, origin):
    scene.beside, scene.allowed, scene.settings = True, [origin.url], quick(processes=2, claim_seconds=PATIENCE)
    bodies = publish_item(scene, origin, {f"b{number}": os.urandom(100) for number in range(10)})
    close(origin)
    async with scene.running() as live:
        order = await live.order()
        await until(lambda: len(origin.requests) == len(bodies), seconds=20)
        assert not live.harvester._crew._starting
        await all_is_right(live, order, bodies, origin)
        assert live.harvester.crew().living == ()


async def test_a_site_is_read_by_all_processes_together_as_it_wants(scene, origin):
    scene.politeness = {"hub-b": PolitenessSettings(connections=3)}
    async with sharing(scene, origin, claim_seconds=PATIENCE) as (live, order, bodies, _):
        await until(lambda: origin.open == 3, seconds=20)
        await all_is_right(live, order, bodies, origin)
    assert origin.most_open <= 3
