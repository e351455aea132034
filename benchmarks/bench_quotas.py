"""Durable reservations: the ledger against the bare writer below it; and what charging costs a search.

The floor is the same writer thread with the same group commit and disk flush, but without rules, history and
leases: one UPDATE of a counter and one INSERT per reservation. Ours and the floor take turns, on one disk.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks.harness import Row
from gateway.principal import Principal
from gateway.quota.charging import Charging
from quotas.group_commit import AnyJob, GroupCommit
from quotas.model import Charge, Line, Policy
from quotas.sqlite import SqliteLedger

LEAST_SPEED = 0.4
"""Our reservations per second over the floor's."""
MOST_WAIT = 3.0
"""Our 99th percentile over the floor's."""

SEARCH_MS = 3.0
"""The CPU of one federated search of 100 items, in ms (bench_search)."""
MOST_SHARE = 0.05
"""What charging may cost of it."""

SEARCH_POLICIES = (
    Policy(name="pace", group="eo", resource="requests", kind="rate", amount=1e5, window_seconds=60),
    Policy(name="month", group="eo", resource="items", kind="window", amount=1e9, window_seconds=2_592_000),
)
SEARCHER = Principal(user="alice", groups=("eo/coast",), charging_group="eo/coast")

POLICIES = (
    Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=1e9),
    Policy(name="cores each", group="eo", resource="cores", kind="concurrent", amount=1e8, applies="each-user"),
)
LINES = (Line(resource="cores", amount=1, edge="edge-a"),)
CHARGE = Charge(group="eo/coast", user="alice")

Reserve = Callable[[str], Awaitable[object]]


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
        self.connection.execute("INSERT INTO counter VALUES ('cores', 0, 1e12)")

    def apply(self, jobs: Sequence[AnyJob]) -> None:
        """Run the jobs in one transaction."""
        now = time.time()
        self.connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.result = job.run(now)
        self.connection.execute("COMMIT")

    def take(self, key: str, now: float) -> bool:
        """Take one unit."""
        sql = "UPDATE counter SET taken = taken + 1 WHERE name = 'cores' AND taken + 1 <= most"
        granted = self.connection.execute(sql).rowcount == 1
        self.connection.execute("INSERT INTO lease VALUES (?, ?, ?)", (key, 1.0, now + 600))
        return granted

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
            await reserve(f"{number}-{count}")
            waits.append((time.perf_counter() - started) * 1e3)
            count += 1

    started = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(tasks)))
    rate = len(waits) / (time.perf_counter() - started)
    return rate, sorted(waits)[int(len(waits) * 0.99)]


async def _floor(folder: Path, tasks: int, seconds: float) -> tuple[float, float]:
    bare = BareStore(folder / "bare.sqlite")
    async with GroupCommit(bare, "bare") as writer:
        return await _measure(lambda key: writer.call((key,), lambda now: bare.take(key, now)), tasks, seconds)


async def _ours(folder: Path, tasks: int, seconds: float) -> tuple[float, float]:
    async with SqliteLedger(folder / "ledger.sqlite", POLICIES) as ledger:
        return await _measure(lambda key: ledger.reserve(key, CHARGE, LINES, ttl=600, why="benchmark"), tasks, seconds)


def _rows(tasks: int, rounds: int, seconds: float) -> list[Row]:
    ours, floors = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            floors.append(asyncio.run(_floor(Path(folder), tasks, seconds)))
            ours.append(asyncio.run(_ours(Path(folder), tasks, seconds)))
    pairs = list(zip(ours, floors, strict=True))
    speed = statistics.median(own[0] / floor[0] for own, floor in pairs)
    slowness = statistics.median(own[1] / floor[1] for own, floor in pairs)
    named = f"durable reservations, {tasks} at once"
    return [
        Row(
            work=named,
            unit="/s",
            ours=statistics.median(own[0] for own in ours),
            floor=statistics.median(floor[0] for floor in floors),
            floor_name="/s, bare writer",
            ratio=speed,
            target=f">= {LEAST_SPEED}",
            held=speed >= LEAST_SPEED,
        ),
        Row(
            work=f"{named}: 99th percentile",
            unit="ms",
            ours=statistics.median(own[1] for own in ours),
            floor=statistics.median(floor[1] for floor in floors),
            floor_name="ms, bare writer",
            ratio=slowness,
            target=f"<= {MOST_WAIT}",
            held=slowness <= MOST_WAIT,
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
    """Measure with 1, 16 and 64 tasks at once; about a minute, or some seconds."""
    rounds, seconds = (2, 0.2) if quick else (9, 0.8)
    reserving = [row for tasks in (1, 16, 64) for row in _rows(tasks, rounds, seconds)]
    return reserving + _charging_rows(2_000 if quick else 20_000)
