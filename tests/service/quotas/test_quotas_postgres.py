"""Several gateways on one ledger in PostgreSQL: races, cut connections, killed processes."""

import asyncio
import itertools
import os
import sys
import textwrap
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from quotas.errors import LedgerUnavailable
from quotas.model import Charge, Lease, Line, Policy
from quotas.postgres import PostgresLedger, Upkeep
from quotas.replay import replay

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[3]
CORES = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=40)
ALICE = Charge(group="eo", user="alice")
ONE = (Line(resource="cores", amount=1),)


BOLD = Upkeep(quiet_batches=1)
"""Decides without a look as soon as a single one has found nothing of others."""
SLEEPY = Upkeep(sweep_seconds=3_600)


async def gateways(stack, dsn, schema, count, policies=(CORES,), upkeep=BOLD):
    return [
        await stack.enter_async_context(PostgresLedger(dsn, policies, schema=schema, upkeep=upkeep))
        for _ in range(count)
    ]


async def whole_history(ledger):
    entries, after = [], 0
    while page := await ledger.history("*", after=after, limit=1_000):
        entries += page
        after = page[-1].seq
    return entries


async def check(ledger):
    """Nothing is over the limit, and the history adds up to the leases."""
    state = replay(await whole_history(ledger))
    assert set(state.open) == {lease.key for lease in await ledger.leases()}
    (usage,) = await ledger.usage(["eo"])
    assert usage.reserved == len(state.open) <= CORES.amount
    return state


async def test_gateways_that_race_grant_exactly_the_limit(postgresql):
    async with AsyncExitStack() as stack:
        ledgers = await gateways(stack, postgresql, "race", 3)
        asked = [(ledger, f"{n}-{m}") for n in range(30) for m, ledger in enumerate(ledgers)]
        answers = await asyncio.gather(*(ledger.reserve(key, ALICE, ONE, ttl=600, why="race") for ledger, key in asked))
        granted = [answer.key for answer in answers if isinstance(answer, Lease)]
        assert len(granted) == 40
        assert len({answer.fence for answer in answers if isinstance(answer, Lease)}) == 40
        await asyncio.gather(*(ledgers[n % 3].release(key) for n, key in enumerate(granted)))
        for ledger in ledgers:
            assert (await check(ledger)).open == {}


async def test_gateways_that_race_for_one_key_get_one_lease(postgresql):
    async with AsyncExitStack() as stack:
        ledgers = await gateways(stack, postgresql, "one_key", 3)
        for n in range(10):
            leases = await asyncio.gather(
                *(ledger.reserve(f"k{n}", ALICE, ONE, ttl=600, why="race") for ledger in ledgers)
            )
            assert leases[0] == leases[1] == leases[2]
        assert len((await check(ledgers[0])).open) == 10


async def test_a_policy_that_is_put_at_one_gateway_holds_at_the_others(postgresql):
    async with AsyncExitStack() as stack:
        one, other = await gateways(stack, postgresql, "policies", 2)
        await other.reserve("a", ALICE, ONE, ttl=600, why="before")
        await one.put_policy(Policy(**{**_fields(CORES), "amount": 1}), by="ops", why="maintenance")
        refused = await other.reserve("b", ALICE, ONE, ttl=600, why="after")
        assert [each.limit for each in refused.violated] == [1]
        assert other.binds(ALICE, ONE)[0].amount == 1


async def test_a_changed_policy_binds_at_the_others_without_their_asking(postgresql):
    async with AsyncExitStack() as stack:
        one, other = await gateways(stack, postgresql, "told", 2, upkeep=SLEEPY)
        await one.put_policy(Policy(**{**_fields(CORES), "amount": 1}), by="ops", why="maintenance")
        for _ in range(4_000):
            if other.binds(ALICE, ONE)[0].amount == 1:
                break
            await asyncio.sleep(0.005)
        assert other.binds(ALICE, ONE)[0].amount == 1


async def test_who_was_long_alone_still_sees_what_another_writes(postgresql):
    async with AsyncExitStack() as stack:
        one, other = await gateways(stack, postgresql, "alone", 2)
        for n in range(40):
            assert isinstance(await one.reserve(f"a{n}", ALICE, ONE, ttl=600, why="alone"), Lease)
        refused = await one.reserve("b", ALICE, ONE, ttl=600, why="full")
        assert [each.reserved for each in refused.violated] == [40]
        await other.release("a7")
        assert isinstance(await one.reserve("b", ALICE, ONE, ttl=600, why="room"), Lease)
        await one.release("b")
        await other.reserve("c", ALICE, ONE, ttl=600, why="first")
        refused = await one.reserve("d", ALICE, ONE, ttl=600, why="full again")
        assert [each.reserved for each in refused.violated] == [40]
        await check(one)


async def test_a_key_that_was_used_up_is_known_without_a_look_too(postgresql):
    async with AsyncExitStack() as stack:
        (ledger,) = await gateways(stack, postgresql, "known", 1)
        first = await ledger.reserve("a", ALICE, ONE, ttl=600, why="work")
        await ledger.commit("a")
        for n in range(4):
            await ledger.reserve(f"b{n}", ALICE, ONE, ttl=600, why="more work")
        assert await ledger.reserve("a", ALICE, ONE, ttl=600, why="again") == first
        assert set((await check(ledger)).open) == {f"b{n}" for n in range(4)}


def _fields(policy):
    return {name: getattr(policy, name) for name in policy.__struct_fields__}


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lakegate quotas'"


async def test_connections_that_are_cut_lose_and_double_nothing(postgresql):
    async with AsyncExitStack() as stack:
        ledgers = await gateways(stack, postgresql, "cut", 2)
        killer = await asyncpg.connect(postgresql)
        stack.push_async_callback(killer.close)
        count = itertools.count(1)

        async def now_and_then_cut():
            if next(count) % 20 == 0:
                await killer.execute(CUT)

        async def work(number):
            for n in range(25):
                key = f"{number}-{n}"
                assert isinstance(await ledgers[number % 2].reserve(key, ALICE, ONE, ttl=600, why="cut"), Lease)
                await now_and_then_cut()
                await ledgers[(number + n) % 2].release(key)
            await ledgers[0].reserve(f"last-{number}", ALICE, ONE, ttl=600, why="cut")

        await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(6))), 60)
        state = await check(ledgers[1])
        assert sorted(state.open) == [f"last-{number}" for number in range(6)]
        events = [entry.event for entry in await whole_history(ledgers[0])]
        assert (events.count("reserve"), events.count("release")) == (156, 150)


WORKER = textwrap.dedent("""
    import asyncio, sys
    from quotas.model import Charge, Line, Policy
    from quotas.postgres import PostgresLedger

    cores = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=40)

    alice = Charge(group="eo", user="alice")

    async def life(ledger, name):
        n = 0
        while True:
            key = f"{name}-{n}"
            await ledger.reserve(key, alice, [Line(resource="cores", amount=1)], ttl=600, why="")
            print("reserved", key, flush=True)
            await ledger.release(key)
            print("released", key, flush=True)
            n += 1

    async def main():
        async with PostgresLedger(sys.argv[1], [cores], schema="processes") as ledger:
            await asyncio.gather(*(life(ledger, f"{sys.argv[2]}-{m}") for m in range(4)))

    asyncio.run(main())
""")


async def worker(dsn, name, after_lines):
    """Run a gateway's process, kill it after it has told so many lines; return all that it told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WORKER,
        dsn,
        name,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    told = [(await process.stdout.readline()).decode() for _ in range(after_lines)]
    process.kill()
    rest = (await process.stdout.read()).decode().split("\n")[:-1]
    await process.wait()
    return [line.split() for line in (*told, *rest)]


async def test_processes_that_are_killed_leave_what_they_were_granted_and_nothing_else(postgresql):
    told = await asyncio.gather(*(worker(postgresql, f"w{n}", after) for n, after in enumerate([20, 90, 150])))
    last = {key: event for lines in told for event, key in lines}
    async with PostgresLedger(postgresql, [CORES], schema="processes") as ledger:
        state = await check(ledger)
        assert set(state.open).isdisjoint(key for key, event in last.items() if event == "released")
        entries = [(entry.event, entry.key) for entry in await whole_history(ledger)]
        assert len(entries) == len(set(entries))
        seen = {key for _, key in entries}
        assert set(last) <= seen
        for key in list(state.open):
            await ledger.release(key)
        assert (await check(ledger)).open == {}


async def test_a_database_that_is_not_there_is_told():
    with pytest.raises(LedgerUnavailable, match="reached"):
        async with PostgresLedger("postgresql://nobody@127.0.0.1:1/nothing", [CORES]):
            pass
    with pytest.raises(ValueError, match="schema"):
        PostgresLedger("postgresql://x", [CORES], schema="drop table;")


async def test_a_schema_of_a_newer_version_is_left_alone(postgresql):
    async with PostgresLedger(postgresql, [CORES], schema="newer"):
        pass
    connection = await asyncpg.connect(postgresql)
    await connection.execute("INSERT INTO newer.migration VALUES (99)")
    await connection.close()
    with pytest.raises(LedgerUnavailable, match="schema 99"):
        async with PostgresLedger(postgresql, [CORES], schema="newer"):
            pass


async def test_a_policy_that_cannot_be_understood_stops_all(postgresql):
    async with PostgresLedger(postgresql, [CORES], schema="garbled"):
        pass
    connection = await asyncpg.connect(postgresql)
    await connection.execute("INSERT INTO garbled.policy VALUES ('administrator', 'x', '{\"policy\": 1}')")
    await connection.close()
    with pytest.raises(LedgerUnavailable, match="'x'"):
        async with PostgresLedger(postgresql, [CORES], schema="garbled"):
            pass
