"""Reservations wait their turn where a policy says so, and tell their position where it takes too long."""

import asyncio

import pytest

from gateway.quota.turns import Patience, reserve_in_turn
from quotas.book import Asked
from quotas.model import Charge, Lease, Line, Policy, Refusal
from quotas.sqlite import SqliteLedger

ALICE, BOB = (Charge(group="eo", user=user) for user in ("alice", "bob"))
ONE = (Line(resource="clusters", amount=1, edge="edge-a"),)


@pytest.fixture
def opened(tmp_path):
    def opening(on_exceed="queue"):
        policy = Policy(name="c", group="eo", resource="clusters", kind="concurrent", amount=1, on_exceed=on_exceed)
        return SqliteLedger(tmp_path / "quotas.sqlite", [policy])

    return opening


async def reserve(ledger, key, charge, lines=ONE, **options):
    return await reserve_in_turn(ledger, key, Asked(charge, lines, ttl=60, why="test"), Patience(**options))


async def test_a_reservation_is_granted_when_its_turn_comes(opened):
    async with opened() as ledger:
        await reserve(ledger, "a", ALICE)
        waits = 0

        async def pause(_):
            nonlocal waits
            waits += 1
            await ledger.release("a")

        assert isinstance(await reserve(ledger, "b", BOB, pause=pause), Lease)
        assert waits == 1
        assert await ledger.waiting() == []


async def test_who_waits_too_long_is_told_the_position_and_loses_the_place(opened):
    async with opened() as ledger:
        await reserve(ledger, "a", ALICE)
        refusal = await reserve(ledger, "b", BOB, seconds=0)
        assert isinstance(refusal, Refusal)
        assert refusal.violated[0].position == 1
        assert 0 < refusal.retry_after <= 61
        assert await ledger.waiting() == []


async def test_who_goes_away_waits_no_more(opened):
    async with opened() as ledger:
        await reserve(ledger, "a", ALICE)
        waiting = asyncio.ensure_future(reserve(ledger, "b", BOB))
        while not await ledger.waiting():  # noqa: ASYNC110 - the ledger tells nobody
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await ledger.waiting() == []


async def test_nobody_waits_where_the_policy_says_reject_or_it_can_never_fit(opened):
    two = (Line(resource="clusters", amount=2, edge="edge-a"),)
    async with opened() as ledger:
        assert (await reserve(ledger, "a", ALICE, two)).never
    async with opened("reject") as ledger:
        await reserve(ledger, "a", ALICE)
        assert (await reserve(ledger, "b", BOB)).violated[0].position is None
