"""Core hours: whoever holds cores or a kernel uses them up, minute by minute, for as long as the lease lives."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from gateway.background import beside
from quotas.book import SLICES
from quotas.errors import QuotaError
from quotas.ledger import Ledger
from quotas.model import EVERYONE, Charge, Lease, Line, Refusal
from quotas.records import Wanted

logger = logging.getLogger(__name__)

METER_SECONDS = 60.0
"""How long one reading of the meter stands for."""
LEASE_SECONDS = 60.0
"""How long a reading may take to be committed."""


MOST_BEHIND_SECONDS = 86_400.0
"""How far back is charged what ran while no gateway did."""

PREFIX = "core-hours/"
_PAGE = 1_000

CORES_EACH = {"cores": 1.0, "kernels": 1.0}
"""How many cores a unit of what is held stands for: a kernel is one process."""


class CoreHours:
    """Reads the meter of all leases that hold cores or kernels. Each reading is charged once, also over a restart.

    Where the core hours are used up, what runs is not ended: the rest is charged as far as it fits, and the Dask
    face lets nothing new begin. What ran on while the gateway did not is charged at its first reading, for a day at
    most: a lease that was made anew for it has the same name before its first dot.
    """

    def __init__(
        self, ledger: Ledger, *, clock: Callable[[], float] = time.time, meter_seconds: float = METER_SECONDS
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._seconds = meter_seconds
        self._begun = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read at each full minute."""
        async with beside(self._read_regularly(), name="core hours"):
            yield

    async def _read_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._seconds - self._clock() % self._seconds)
            try:
                await self.read()
            except QuotaError as error:
                logger.warning("core hours cannot be charged", extra={"error": str(error)})

    async def read(self) -> None:
        """Charge every lease that holds cores for the minute that is over.

        Raises:
            LedgerUnavailable: the ledger cannot be written.
        """
        minute = int(self._clock() // self._seconds)
        before = await self._last_readings(minute) if not self._begun else {}
        for lease in await self._ledger.leases():
            if lease.key.startswith(SLICES):  # an edge that is cut off tells itself what it spent
                continue
            await self._read(lease, minute, minute - before.get(_name(lease.key), minute - 1) - 1)
        self._begun = True

    async def _read(self, lease: Lease, minute: int, missed: int) -> None:
        """Charge a lease for the minute that is over, and for those in which nobody read."""
        for line in hours_of(lease, self._seconds):
            if self._ledger.binds(lease.charge, [line]):
                await self._charge(f"{PREFIX}{lease.key}/{minute}", lease.charge, line)
        for line in hours_of(lease, self._seconds * missed) if missed > 0 else ():
            if self._ledger.binds(lease.charge, [line]):
                await self._charge(f"{PREFIX}{lease.key}/{minute}/missed", lease.charge, line)

    async def _last_readings(self, minute: int) -> dict[str, int]:
        """Find in the history when each was read last."""
        since = minute * self._seconds - MOST_BEHIND_SECONDS
        wanted = Wanted(events=("commit",), resource="core_hours", since=since)
        found: dict[str, int] = {}
        after = 0
        while page := await self._ledger.history(EVERYONE, after=after, limit=_PAGE, wanted=wanted):
            after = page[-1].seq
            for entry in page:
                key, _, read = entry.key.removeprefix(PREFIX).partition("/")
                number = read.partition("/")[0]
                if entry.key.startswith(PREFIX) and number.isdecimal() and int(number) < minute:
                    found[_name(key)] = max(int(number), found.get(_name(key), 0))
        return found

    async def _charge(self, key: str, charge: Charge, line: Line) -> None:
        for attempt in (key, f"{key}/rest"):
            answer = await self._ledger.reserve(attempt, charge, [line], ttl=LEASE_SECONDS, why="core hours")
            if not isinstance(answer, Refusal):
                await self._ledger.commit(attempt)
                return
            left = answer.admissible.get(line.resource, 0.0)
            if left <= 0:
                return
            line = Line(resource=line.resource, amount=min(left, line.amount), edge=line.edge)


def _name(key: str) -> str:
    return key.partition(".")[0]


def hours_of(lease: Lease, seconds: float) -> Iterator[Line]:
    """Return the core hours that a lease uses up in so many seconds, at each of its edges."""
    for line in lease.lines:
        cores = line.amount * CORES_EACH.get(line.resource, 0.0)
        if cores > 0:
            yield Line(resource="core_hours", amount=cores * seconds / 3600, edge=line.edge)
