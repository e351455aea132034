"""Durable reservations: the ledger against the bare writer below it; and what charging costs a search.

The floor on SQLite is the same writer thread with the same group commit and disk flush, but without rules and
history: one UPDATE .. RETURNING of the group's counter and one INSERT of a lease per reservation, for as many groups.
The floor on PostgreSQL is a function that does the same, called by up to 16 connections. Ours and the floor take
turns, on one disk and one server.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg

from benchmarks.harness import Row
from gateway.principal import Principal
from gateway.quota.charging import Charging
from quotas.group_commit import AnyJob, GroupCommit
from quotas.ledger import Ledger
from quotas.model import Charge, Line, Policy
from quotas.postgres import PostgresLedger
from quotas.sqlite import SqliteLedger
from tests.postgresql_server import DURABLE, missing, running_postgresql

LEAST_SPEED = 0.5
"""Our reservations per second over the floor's."""

SEARCH_MS = 3.0
"""The CPU of one federated search of 100 items, in ms (bench_search)."""
MOST_SHARE = 0.05
"""What charging may cost of it."""

SEARCH_POLICIES = (
    Policy(name="pace", group="eo", resource="requests", kind="rate", amount=1e5, window_seconds=60),
    Policy(name="month", group="eo", resource="items", kind="window", amount=1e9, window_seconds=2_592_000),
)
SEARCHER = Principal(user="alice", groups=("eo/coast",), charging_group="eo/coast")

DEPTH = ("root", "root/eo", "root/eo/{n}", "root/eo/{n}/tides")
"""The groups above and at a charge: each has a policy, and each user too."""
GROUPS = 16
"""How many groups reserve where there are many."""


def _policies(groups: int) -> tuple[Policy, ...]:
    names = {level.format(n=n) for level in DEPTH for n in range(groups)}
    limits = [Policy(name=g, group=g, resource="cores", kind="concurrent", amount=1e9) for g in sorted(names)]
    each = Policy(name="each", group="root", resource="cores", kind="concurrent", amount=1e8, applies="each-user")
    return (*limits, each)


LINES = (Line(resource="cores", amount=1, edge="edge-a"),)
CHARGES = [Charge(group=DEPTH[-1].format(n=n), user=f"user-{n}") for n in range(GROUPS)]

Reserve = Callable[[str, int], Awaitable[object]]
"""Reserves under a key, for the task of a number."""


class BareStore:
    """The floor: a counter and a row per key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> None:
        """Open the file as the ledger does."""
        self.connection = sqlite3.connect(self._path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE counter (name TEXT PRIMARY KEY, taken REAL, most REAL) WITHOUT ROWID")
        self.connection.execute("CREATE TABLE lease (key TEXT PRIMARY KEY, amount REAL, expires_at REAL) WITHOUT ROWID")
        self.connection.executemany("INSERT INTO counter VALUES (?, 0, 1e12)", [(f"g{n}",) for n in range(GROUPS)])

    def apply(self, jobs: Sequence[AnyJob]) -> None:
        """Run the jobs in one transaction."""
        now = time.time()
        self.connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.result = job.run(now)
        self.connection.execute("COMMIT")

    def take(self, key: str, group: str, now: float) -> float:
        """Take one unit; return what is taken then."""
        sql = "UPDATE counter SET taken = taken + 1 WHERE name = ? AND taken + 1 <= most RETURNING taken"
        ((taken,),) = self.connection.execute(sql, (group,)).fetchall()
        self.connection.execute("INSERT INTO lease VALUES (?, ?, ?)", (key, 1.0, now + 600))
        return float(taken)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


async def _measure(reserve: Reserve, tasks: int, seconds: float) -> tuple[float, float]:
    """Return reservations per second, and the 99th percentile of their times in ms."""
    waits: list[float] = []
    stop = time.perf_counter() + seconds

    async def work(number: int) -> None:
        count = 0
        while (started := time.perf_counter()) < stop:
            await reserve(f"{number}-{count}", number)
            waits.append((time.perf_counter() - started) * 1e3)
            count += 1

    started = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(tasks)))
    rate = len(waits) / (time.perf_counter() - started)
    return rate, sorted(waits)[int(len(waits) * 0.99)]


async def _floor(folder: Path, tasks: int, seconds: float, groups: int) -> tuple[float, float]:
    bare = BareStore(folder / "bare.sqlite")
    async with GroupCommit(bare, "bare") as writer:

        async def reserve(key: str, number: int) -> float:
            group = f"g{number % groups}"
            return await writer.call((key,), lambda now: bare.take(key, group, now))

        return await _measure(reserve, tasks, seconds)


async def _reserving(ledger: Ledger, groups: int, tasks: int, seconds: float) -> tuple[float, float]:
    return await _measure(
        lambda key, number: ledger.reserve(key, CHARGES[number % groups], LINES, ttl=600, why="benchmark"),
        tasks,
        seconds,
    )


async def _ours(folder: Path, tasks: int, seconds: float, groups: int) -> tuple[float, float]:
    async with SqliteLedger(folder / f"ledger-{groups}.sqlite", _policies(groups)) as ledger:
        return await _reserving(ledger, groups, tasks, seconds)


BARE_FUNCTION = """
CREATE TABLE bare_counter (name text PRIMARY KEY, taken double precision, most double precision);
CREATE TABLE bare_lease (key text PRIMARY KEY, amount double precision, expires_at double precision);
INSERT INTO bare_counter SELECT 'g' || n, 0, 1e12 FROM generate_series(0, 15) n;
CREATE FUNCTION bare_reserve(k text, who text, n double precision, at double precision) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE bare_counter SET taken = taken + n WHERE name = who AND taken + n <= most;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO bare_lease VALUES (k, n, at);
  RETURN true;
END $$;
"""
MOST_CONNECTIONS = 16


async def _postgres_floor(dsn: str, tasks: int, seconds: float, groups: int) -> tuple[float, float]:
    size = min(tasks, MOST_CONNECTIONS)
    async with asyncpg.create_pool(dsn, min_size=size, max_size=size) as pool:
        await pool.execute("DROP TABLE IF EXISTS bare_counter, bare_lease; DROP FUNCTION IF EXISTS bare_reserve")
        await pool.execute(BARE_FUNCTION)
        sql = "SELECT bare_reserve($1, $2, 1, $3)"
        return await _measure(
            lambda key, number: pool.fetchval(sql, key, f"g{number % groups}", time.time() + 600), tasks, seconds
        )


async def _postgres_ours(dsn: str, tasks: int, seconds: float, groups: int) -> tuple[float, float]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        await pool.execute("SET client_min_messages = warning; DROP SCHEMA IF EXISTS bench CASCADE")
    async with PostgresLedger(dsn, _policies(groups), schema="bench") as ledger:
        return await _reserving(ledger, groups, tasks, seconds)


Pair = tuple[tuple[float, float], tuple[float, float]]


def _sqlite_pairs(tasks: int, groups: int, rounds: int, seconds: float) -> list[Pair]:
    pairs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            floor = asyncio.run(_floor(Path(folder), tasks, seconds, groups))
            pairs.append((asyncio.run(_ours(Path(folder), tasks, seconds, groups)), floor))
    return pairs


def _postgres_pairs(dsn: str, tasks: int, groups: int, rounds: int, seconds: float) -> list[Pair]:
    pairs = []
    for _ in range(rounds):
        floor = asyncio.run(_postgres_floor(dsn, tasks, seconds, groups))
        pairs.append((asyncio.run(_postgres_ours(dsn, tasks, seconds, groups)), floor))
    return pairs


def _rows(named: str, floor_name: str, pairs: Sequence[Pair]) -> list[Row]:
    speed = statistics.median(own[0] / floor[0] for own, floor in pairs)
    slowness = statistics.median(own[1] / floor[1] for own, floor in pairs)
    return [
        Row(
            work=named,
            unit="/s",
            ours=statistics.median(own[0] for own, _ in pairs),
            floor=statistics.median(floor[0] for _, floor in pairs),
            floor_name=f"/s, {floor_name}",
            ratio=speed,
            target=f">= {LEAST_SPEED}",
            held=speed >= LEAST_SPEED,
        ),
        Row(
            work=f"{named}: p99",
            unit="ms",
            ours=statistics.median(own[1] for own, _ in pairs),
            floor=statistics.median(floor[1] for _, floor in pairs),
            floor_name=f"ms, {floor_name}",
            ratio=slowness,
            target="told",
            held=True,
        ),
    ]


async def _charged(folder: Path, policies: Sequence[Policy], count: int) -> float:
    """Return the CPU milliseconds of charging one search (all threads), settling included."""
    async with SqliteLedger(folder / "charging.sqlite", policies) as ledger:
        charging = Charging(ledger)
        lines = (Line(resource="requests", amount=1), Line(resource="items", amount=100))
        started = time.process_time()
        async with charging.running():
            for _ in range(count):
                async with charging.request(SEARCHER, lines) as spending:
                    spending.actual("items", 40)
        return (time.process_time() - started) * 1e3 / count


def _charging_rows(count: int) -> list[Row]:
    rows = []
    for named, policies in (("under two policies", SEARCH_POLICIES), ("where no policy binds", ())):
        with tempfile.TemporaryDirectory() as folder:
            ours = asyncio.run(_charged(Path(folder), policies, count))
        share = ours / SEARCH_MS
        rows.append(
            Row(
                work=f"charging one search {named}, CPU",
                unit="ms",
                ours=ours,
                ratio=share,
                target=f"<= {MOST_SHARE} of a search",
                held=share <= MOST_SHARE,
            )
        )
    return rows


def run(*, quick: bool = False) -> list[Row]:
    """Measure with 1, 16 and 64 tasks at once, in one group and in many; some minutes, or some seconds."""
    rounds, seconds = (2, 0.2) if quick else (9, 0.8)
    shapes = [(tasks, groups) for groups in (1, GROUPS) for tasks in (1, 16, 64) if tasks >= groups]
    rows = []
    for tasks, groups in shapes:
        named = f"SQLite, {groups} groups of depth 4, {tasks} at once"
        rows += _rows(named, "bare writer", _sqlite_pairs(tasks, groups, rounds, seconds))
    if missing():
        print(f"no figures of PostgreSQL: {missing()}")
    else:
        with running_postgresql(DURABLE) as dsn:
            for tasks, groups in shapes:
                named = f"PostgreSQL, {groups} groups of depth 4, {tasks} at once"
                rows += _rows(named, "bare function", _postgres_pairs(dsn, tasks, groups, rounds, seconds))
    return rows + _charging_rows(2_000 if quick else 20_000)
