"""Durable reservations: the ledger against the bare writer below it.

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
from typing import Any

from quotas.group_commit import AnyJob, GroupCommit
from quotas.model import Charge, Line, Policy
from quotas.sqlite import SqliteLedger

ROUNDS = 5
TARGET = 0.5
"""Our reservations per second over the floor's."""
TARGET_P99_MS = 20.0
"""With 64 tasks at once, in ms."""

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


async def _measure(reserve: Reserve, tasks: int, seconds: float, prefix: str) -> tuple[float, list[float]]:
    """Return reservations per second, and how long each took in ms."""
    waits: list[float] = []
    stop = time.perf_counter() + seconds

    async def work(number: int) -> None:
        count = 0
        while (started := time.perf_counter()) < stop:
            await reserve(f"{prefix}-{number}-{count}")
            waits.append((time.perf_counter() - started) * 1e3)
            count += 1

    started = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(tasks)))
    return len(waits) / (time.perf_counter() - started), waits


async def _round(tasks: int, seconds: float) -> tuple[float, float, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        bare = BareStore(Path(folder) / "bare.sqlite")
        async with GroupCommit(bare, "bare") as writer:
            floor, _ = await _measure(
                lambda key: writer.call(key, lambda now: bare.take(key, now)), tasks, seconds, "bare"
            )
        async with SqliteLedger(Path(folder) / "ledger.sqlite", POLICIES) as ledger:
            ours, waits = await _measure(
                lambda key: ledger.reserve(key, CHARGE, LINES, ttl=600, why="benchmark"),
                tasks,
                seconds,
                "ours",
            )
    return ours, floor, waits


def _row(work: str, unit: str, ours: float, *, floor: float | None, ratio: float, target: float) -> dict[str, Any]:
    held = ratio >= target if unit == "1/s" else ours <= target
    return {
        "work": work,
        "unit": unit,
        "ours": round(ours, 3),
        "peer": None,
        "floor": None if floor is None else round(floor, 3),
        "ratio": round(ratio, 3),
        "target": target,
        "held": held,
    }


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """Measure with 1, 16 and 64 tasks; ``scale`` 1 takes about 20 seconds."""
    rows = []
    for tasks in (1, 16, 64):
        rounds = [asyncio.run(_round(tasks, 0.6 * scale)) for _ in range(ROUNDS)]
        ours = statistics.median(each[0] for each in rounds)
        floor = statistics.median(each[1] for each in rounds)
        waits = sorted(wait for each in rounds for wait in each[2])
        p99 = waits[int(len(waits) * 0.99)]
        name = f"durable reservations, {tasks} tasks"
        rows.append(_row(name, "1/s", ours, floor=floor, ratio=ours / floor, target=TARGET))
        rows.append(_row(f"{name}, p99", "ms", p99, floor=None, ratio=p99 / TARGET_P99_MS, target=TARGET_P99_MS))
    return rows


if __name__ == "__main__":
    for each in run():
        print(each)
