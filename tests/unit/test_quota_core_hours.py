"""Whoever holds cores uses up core hours."""

import pytest

from gateway.quota.core_hours import CoreHours
from quotas.memory import MemoryLedger
from quotas.model import Charge, Line, Policy

ALICE = Charge(group="eo", user="alice")
HOURS = Policy(name="hours", group="eo", resource="core_hours", kind="window", amount=1.0, window_seconds=86_400)


class Clock:
    def __init__(self):
        self.now = 1_700_000_040.0

    def __call__(self):
        return self.now


@pytest.fixture
def scene():
    clock = Clock()
    ledger = MemoryLedger([HOURS], clock=clock)
    return clock, ledger, CoreHours(ledger, clock=clock)


async def held(ledger, cores, key="c-1"):
    lines = [Line(resource="cores", amount=cores, edge="edge-a"), Line(resource="clusters", amount=1, edge="edge-a")]
    await ledger.reserve(key, ALICE, lines, ttl=100_000, why="dask cluster")


async def used(ledger):
    (usage,) = [each for each in await ledger.usage(["eo"], "alice") if each.policy.name == "hours"]
    return usage.used


async def test_cores_that_are_held_use_up_core_hours(scene):
    clock, ledger, meter = scene
    await held(ledger, 6)
    for _ in range(5):
        clock.now += 60
        await meter.read()
    assert await used(ledger) == pytest.approx(0.5, rel=1e-4)


async def test_a_minute_is_charged_once_also_after_a_restart(scene):
    clock, ledger, meter = scene
    await held(ledger, 6)
    await meter.read()
    await meter.read()
    await CoreHours(ledger, clock=clock).read()
    assert await used(ledger) == pytest.approx(0.1, rel=1e-4)


async def test_what_is_given_back_uses_nothing_up(scene):
    _, ledger, meter = scene
    await held(ledger, 6)
    await ledger.release("c-1")
    await meter.read()
    assert await used(ledger) == 0


async def test_used_up_core_hours_keep_new_work_out_and_never_exceed_the_limit(scene):
    clock, ledger, meter = scene
    minute = [Line(resource="core_hours", amount=50 / 60, edge="edge-a")]
    assert await ledger.check(ALICE, minute) is None
    await held(ledger, 50)
    for _ in range(3):
        clock.now += 60
        await meter.read()
    assert await used(ledger) == pytest.approx(1.0, rel=1e-4)
    assert await used(ledger) <= 1.0
    refusal = await ledger.check(ALICE, minute)
    assert refusal.violated[0].policy == "hours"
    assert refusal.retry_after > 0


async def test_where_nothing_binds_nothing_is_written():
    ledger = MemoryLedger([])
    meter = CoreHours(ledger)
    await held(ledger, 50)
    await meter.read()
    assert len(await ledger.history("eo")) == 2


async def test_a_kernel_uses_up_one_core(scene):
    clock, ledger, meter = scene
    await ledger.reserve("k-1", ALICE, [Line(resource="kernels", amount=1, edge="edge-a")], ttl=9_000, why="kernel")
    for _ in range(30):
        clock.now += 60
        await meter.read()
    assert await used(ledger) == pytest.approx(0.5, rel=1e-3)


async def test_what_ran_on_while_the_gateway_did_not_is_charged_at_its_first_reading(scene):
    clock, ledger, meter = scene
    await held(ledger, 6, key="c-1")
    await meter.read()
    await ledger.release("c-1")  # its lease has run out while we were away, and is made anew
    clock.now += 4 * 60
    await held(ledger, 6, key="c-1.1700000280000")
    await held(ledger, 6, key="c-2")
    restarted = CoreHours(ledger, clock=clock)
    await restarted.read()
    await restarted.read()
    assert await used(ledger) == pytest.approx(0.6, rel=1e-4)  # 5 minutes of the one, 1 of the new one
    await CoreHours(ledger, clock=clock).read()
    assert await used(ledger) == pytest.approx(0.6, rel=1e-4)
