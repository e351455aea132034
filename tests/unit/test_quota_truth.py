"""What the edges say runs is what the ledger says is taken."""

import pytest

from gateway.quota.truth import LeaseTruth
from quotas.memory import MemoryLedger
from quotas.model import Charge, Lease, Line, Policy, Refusal
from quotas.records import Observed

ALICE = Charge(group="eo", user="alice")
CORES = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=10)


def cores(amount):
    return (Line(resource="cores", amount=amount, edge="a"),)


def running(*pairs):
    seen = [Observed(key=key, charge=ALICE, lines=cores(amount)) for key, amount in pairs]
    return lambda: seen


class Scene:
    def __init__(self):
        self.now = 1_000.0
        self.ledger = MemoryLedger([CORES], clock=lambda: self.now)
        self.truth = LeaseTruth(self.ledger, prefix="c-", lease_seconds=60, clock=lambda: self.now)

    async def reserve(self, key, amount):
        lease = await self.ledger.reserve(key, ALICE, cores(amount), ttl=60, why="test")
        assert isinstance(lease, Lease)

    async def leases(self):
        return {lease.key: lease.lines[0].amount for lease in await self.ledger.leases()}


@pytest.fixture
def scene():
    return Scene()


async def test_a_lease_that_drifted_is_set_right_and_the_history_says_why(scene):
    await scene.reserve("c-1", 1)
    await scene.truth.tell(running(("c-1", 4)), [])
    assert await scene.leases() == {"c-1": 4}
    assert [entry.why for entry in await scene.ledger.history("eo")][-1] == "found running"


async def test_what_runs_without_a_lease_gets_one_and_what_does_not_run_loses_it_after_its_grace(scene):
    await scene.reserve("c-gone", 2)
    await scene.reserve("k-other", 1)
    await scene.truth.tell(running(("c-1", 4)), [])
    assert await scene.leases() == {"c-1": 4, "c-gone": 2, "k-other": 1}
    scene.now += 31
    await scene.truth.tell(running(("c-1", 4)), [])
    assert await scene.leases() == {"c-1": 4, "k-other": 1}


async def test_leases_live_as_long_as_what_runs_and_are_renewed_no_more_often_than_needed(scene):
    await scene.truth.tell(running(("c-1", 4)), [])
    fences = set()
    for _ in range(30):
        scene.now += 10
        await scene.truth.tell(running(("c-1", 4)), [])
        (lease,) = await scene.ledger.leases()
        fences.add(lease.fence)
    assert len(fences) == 16


async def test_a_change_is_told_at_once(scene):
    await scene.truth.tell(running(("c-1", 4)), [])
    await scene.truth.tell(running(("c-1", 4), ("c-2", 1)), [])
    assert await scene.leases() == {"c-1": 4, "c-2": 1}


async def test_what_may_be_about_to_run_keeps_the_lease_it_has(scene):
    await scene.reserve("c-new", 2)
    for _ in range(6):
        await scene.truth.tell(running(), ["c-new", "c-never-granted"])
        scene.now += 30
    assert await scene.leases() == {"c-new": 2}


async def test_what_runs_but_does_not_fit_runs_on_and_is_asked_for_again(scene):
    await scene.reserve("other", 8)
    await scene.truth.tell(running(("c-1", 4)), [])
    assert await scene.leases() == {"other": 8}
    await scene.ledger.release("other")
    scene.now += 20
    await scene.truth.tell(running(("c-1", 4)), [])
    assert await scene.leases() == {"c-1": 4}
    assert isinstance(await scene.ledger.reserve("x", ALICE, cores(7), ttl=60, why="test"), Refusal)
