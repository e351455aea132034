"""Turns at sites and their pace, on each database: what one gateway takes, another does not get."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from edges.settings import PolitenessSettings
from harvest.database import Journal
from harvest.database_postgres import PostgresDatabase
from harvest.database_sqlite import SqliteDatabase
from harvest.seams import unobserved
from harvest.turns import LONGEST, DatabaseTurns, Kept

SITES = {"hub": PolitenessSettings(connections=2, requests_per_second=10.0, bytes_per_second=100_000)}
LEASE = 30.0


class Two:
    """Two gateways on one database, and a clock that both read."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.gateways: list[DatabaseTurns] = []

    def clock(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Two]:
    name = f"harvest_{uuid.uuid4().hex[:12]}"
    dsn = request.getfixturevalue("postgresql") if request.param == "postgresql" else ""
    both = Two()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            kept = PostgresDatabase(dsn, schema=name) if dsn else SqliteDatabase(tmp_path / "harvest.db")
            database = await stack.enter_async_context(kept)
            journal = Journal(database=database, clock=both.clock, checkpoint=unobserved)
            both.gateways.append(DatabaseTurns(journal=journal, sites=SITES, seconds=LEASE))
        yield both


async def test_no_more_turns_are_given_than_a_site_wants_however_many_gateways_ask(two):
    one, other = two.gateways
    asked = await asyncio.gather(*(gateway.begin("hub") for gateway in (one, other) * 4))
    turns = [turn for turn in asked if turn is not None]
    assert len(turns) == 2
    assert await one.begin("hub") is None
    for turn in turns:
        one.end(turn)
        other.end(turn)
    await one.leave()
    await other.leave()
    assert await other.begin("hub") is not None


async def test_a_turn_of_a_gateway_that_died_is_free_again_after_its_lease(two):
    one, other = two.gateways
    assert [await one.begin("hub") for _ in range(3)][2] is None
    two.now += LEASE - 1
    assert await other.begin("hub") is None
    two.now += 1
    assert await other.begin("hub") is not None


async def test_a_turn_that_is_kept_lasts(two):
    one, other = two.gateways
    turns = [await one.begin("hub") for _ in range(2)]
    for _ in range(3):
        two.now += LEASE / 2
        await one.keep(Kept(kept={turn: "hub" for turn in turns if turn}))
        assert await other.begin("hub") is None


async def test_requests_and_bytes_of_all_gateways_come_one_after_the_other(two):
    one, other = two.gateways
    waits = [(await gateway.pace("hub", requests=1)).wait for gateway in (one, other) * 3]
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert (await one.pace("hub", count=50_000)).wait == 0.0
    assert (await other.pace("hub", count=50_000)).wait == pytest.approx(0.5)
    two.now += 10.0
    assert (await other.pace("hub", requests=1)).wait == 0.0


async def test_nothing_is_given_out_long_beforehand_and_whoever_is_early_asks_again(two):
    one, other = two.gateways
    while (grant := await one.pace("hub", count=1_000_000)).given:
        assert grant.wait <= LONGEST
    assert grant.wait > 0
    assert not (await other.pace("hub", count=1)).given
    assert (await other.pace("hub", requests=1)).given
    two.now += grant.wait
    assert (await other.pace("hub", count=1)).given


async def test_a_clock_that_stepped_back_holds_nobody_up(two):
    one, other = two.gateways
    await one.pace("hub", requests=1)
    two.now -= 86_400.0
    assert (await other.pace("hub", requests=1)).wait == 0.0


async def test_a_site_that_wants_nothing_is_not_held_up(two):
    one, _ = two.gateways
    assert (await one.pace("unknown", requests=1, count=1 << 30)).wait == 0.0
