"""Turns at sites, and their pace, kept by all who read them: gateways that share a database, and far workers by them.

A turn is a lease: whoever dies loses it after a while. Requests and bytes are given out one after the other, as the
generic cell rate algorithm does (ITU-T I.371): each takes its time, and whoever comes early waits.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping
from typing import Protocol

from edges.settings import PolitenessSettings
from harvest.database import Connection, Journal
from harvest.model import Value

LONGEST = 60.0
"""Seconds beforehand that requests and bytes are given out; whoever comes earlier asks again."""

_UNKNOWN = PolitenessSettings()


class Turns(Protocol):
    """Where turns and pace are kept. Raises what keeps them: :class:`harvest.errors.HarvestError`."""

    async def begin(self, site: str) -> str | None:
        """Take a turn at a site; return what it is known by, or None where all are taken."""
        ...

    def end(self, turn: str) -> None:
        """Give a turn back, soon. Idempotent."""
        ...

    async def pace(self, site: str, *, requests: int = 0, count: int = 0) -> "Grant":
        """Ask for requests or bytes."""
        ...


class Grant(Value, frozen=True):
    """Whether requests or bytes are ``given``, and after how many seconds; if not, when to ask again."""

    given: bool
    wait: float


class Kept(Value, frozen=True):
    """Turns that are to be kept and given back, each by what it is known by; ``kept`` with their sites."""

    kept: Mapping[str, str] = {}
    ended: tuple[str, ...] = ()


def begin(connection: Connection, site: str, wanted: PolitenessSettings, now: float, until: float) -> str | None:
    """Take a turn; see :meth:`Turns.begin`."""
    connection.change("turns_lapsed", now=now)
    if connection.one("turns_taken", site=site)["taken"] >= (wanted.connections or 0):
        return None
    turn = uuid.uuid4().hex
    connection.change("turn_keep", id=turn, site=site, until=until)
    return turn


def keep(connection: Connection, turns: Kept, until: float) -> None:
    """Keep some turns, and give others back. One that had lapsed is taken again: its connection is there."""
    for turn, site in turns.kept.items():
        connection.change("turn_keep", id=turn, site=site, until=until)
    for turn in turns.ended:
        connection.change("turn_end", id=turn)


def pace(
    connection: Connection, site: str, wanted: PolitenessSettings, now: float, *, requests: int = 0, count: int = 0
) -> Grant:
    """Give out requests or bytes; see :meth:`Turns.pace`."""
    row = connection.one("pace_of", site=site)
    before = (row["next_request"], row["next_bytes"]) if row is not None else (now, now)
    first = following(before[0], now, requests, wanted.requests_per_second)
    second = following(before[1], now, count, wanted.bytes_per_second)
    wait = max(first[0], second[0])
    if wait > LONGEST:
        return Grant(given=False, wait=wait - LONGEST)
    connection.change("pace_set", site=site, next_request=first[1], next_bytes=second[1])
    return Grant(given=True, wait=wait)


def following(before: float, now: float, amount: int, rate: float | None) -> tuple[float, float]:
    """Return how many seconds so much has to wait, and when the next one's turn is after it.

    Nothing is given out longer beforehand than :data:`LONGEST`: what says so was written by a clock that has stepped.

    >>> following(12.0, 10.0, 1, 2.0), following(3.0, 10.0, 1, 2.0), following(999.0, 10.0, 1, 2.0)
    ((2.0, 12.5), (0.0, 10.5), (0.0, 10.5))
    """
    if not amount or rate is None:
        return 0.0, before
    took = amount / rate
    at = now if before > now + LONGEST + max(took, LONGEST) else max(now, before)
    return at - now, at + took


class Holder:
    """The turns of one process: kept by ``tell`` every ``seconds / 3``, and as soon as one has ended."""

    def __init__(self, *, seconds: float) -> None:
        self._every = seconds / 3
        self._held: dict[str, str] = {}
        self._ended: list[str] = []
        self._changed = asyncio.Event()

    def hold(self, turn: str, site: str) -> None:
        """Keep a turn from now on."""
        self._held[turn] = site

    def end(self, turn: str) -> None:
        """Give a turn back, soon."""
        if self._held.pop(turn, None) is not None:
            self._ended.append(turn)
            self._changed.set()

    async def due(self) -> Kept:
        """Return what is to be told next, once it is time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._every):
                await self._changed.wait()
        self._changed.clear()
        return self.all_ended()

    def all_ended(self) -> Kept:
        """Return what is to be told now."""
        ended, self._ended = self._ended, []
        return Kept(kept=dict(self._held), ended=tuple(ended))


class DatabaseTurns:
    """Implements :class:`Turns` beside the database. A turn lasts ``seconds`` beyond its last renewal."""

    def __init__(self, *, journal: Journal, sites: Mapping[str, PolitenessSettings], seconds: float) -> None:
        self._database = journal.database
        self._clock: Callable[[], float] = journal.clock
        self._sites = sites
        self._seconds = seconds
        self._holder = Holder(seconds=seconds)

    async def begin(self, site: str) -> str | None:
        """Take a turn at a site."""
        turn = await self.lend(site)
        if turn is not None:
            self._holder.hold(turn, site)
        return turn

    def end(self, turn: str) -> None:
        """Give a turn back, soon."""
        self._holder.end(turn)

    async def pace(self, site: str, *, requests: int = 0, count: int = 0) -> Grant:
        """Ask for requests or bytes."""
        wanted, now = self._sites.get(site, _UNKNOWN), self._clock()
        return await self._database.run(lambda c: pace(c, site, wanted, now, requests=requests, count=count))

    async def lend(self, site: str) -> str | None:
        """Take a turn for somebody who keeps it by himself (:meth:`keep`)."""
        wanted, now = self._sites.get(site, _UNKNOWN), self._clock()
        return await self._database.run(lambda c: begin(c, site, wanted, now, now + self._seconds))

    async def keep(self, turns: Kept) -> None:
        """Keep turns, and give others back."""
        until = self._clock() + self._seconds
        if turns.kept or turns.ended:
            await self._database.run(lambda c: keep(c, turns, until))

    async def turn(self) -> bool:
        """Wait until something is to be told of our own turns, and tell it."""
        await self.keep(await self._holder.due())
        return True

    async def leave(self) -> None:
        """Give all turns back that nobody needs any more: others would wait until they lapse."""
        await self.keep(self._holder.all_ended())
