"""Politeness: how a site wants to be read, kept by all transfers together: of this process, and of others beside it.

The words are settings (:class:`edges.settings.PolitenessSettings`), one for each site that has some. Whoever comes
outside a site's hours is told to come back; everybody else waits for their turn. What several processes must keep to
together is put down where all see it (:class:`harvest.turns.Turns`).
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from yarl import URL

from edges.budget import Rate, full, taken
from edges.kept import kept
from edges.lines.sockets import Buffer
from edges.settings import PolitenessSettings
from harvest.connections import Connection
from harvest.errors import LeftAlone
from harvest.http_answers import Opened
from harvest.model import Source, Value
from harvest.turns import Grant, Turns
from harvest.zip_address import container_of

DAY = 86_400
_FOREVER = float("inf")
_LOOK_AGAIN = (0.1, 0.4)
"""Seconds after which is asked again for a turn that others have."""

_PLAIN = re.compile(r"https?://[a-z0-9._-]+(?::[0-9]+)?(?=[/?#]|\Z)")
"""What most addresses begin with: nothing behind it changes what their origin is."""

_SHARE = 4
"""How many pieces a second's worth of bytes is read in: slow streams stay steady."""


class Politeness(Value, frozen=True):
    """How a site is read at the moment: what it wants, and how many transfers read and wait."""

    site: str
    connections: int | None
    requests_per_second: float | None
    bytes_per_second: int | None
    hours: str
    open: bool
    reading: int
    waiting: int


def until_open(hours: str, now: float) -> float:
    """Return how many seconds it is until a site may be read, by its hours (UTC); 0 while it may.

    >>> until_open("22-06", 0.0), until_open("22-06", 12 * 3600), until_open("8-17", 18 * 3600), until_open("", 5.0)
    (0.0, 36000, 50400, 0.0)
    """
    if not hours:
        return 0.0
    first, last = (int(part) * 3600 for part in hours.split("-"))
    day = now % DAY
    inside = first <= day < last if first < last else day >= first or day < last
    return 0.0 if inside else (first - day) % DAY


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address; an empty text where it has none.

    >>> origin_of("https://Hub.example/x?y"), origin_of("file:///x")
    ('https://hub.example:443', '')
    """
    plain = _PLAIN.match(url)
    return _origin(url if plain is None else plain[0])


@kept(256)
def _origin(url: str) -> str:
    try:
        parsed = URL(url)
    except ValueError:
        return ""
    return f"{parsed.scheme}://{parsed.host}:{parsed.port}" if parsed.host and parsed.port else ""


class _Site:
    """One site's turns and pace."""

    def __init__(self, name: str, settings: PolitenessSettings, now: float) -> None:
        self.name = name
        self.settings = settings
        self.slots = asyncio.Semaphore(settings.connections) if settings.connections is not None else None
        self.rate = None
        if settings.requests_per_second is not None:
            self.rate = Rate(per_second=settings.requests_per_second, burst=1.0)
        self.bucket = full(self.rate, now) if self.rate is not None else None
        self.paid_until = now
        self.granted = 0
        self.paying = asyncio.Lock()
        self.reading = self.waiting = 0


class Manners:
    """Keeps the politeness of all sites that want some. ``clock`` does not step, ``wall`` is in epoch seconds.

    ``origins`` (``scheme://host:port``) tell whose an address is, whatever site a catalogue says it is of. ``turns``
    are kept with others; None: nobody else reads these sites.
    """

    def __init__(
        self,
        sites: Mapping[str, PolitenessSettings],
        *,
        origins: Mapping[str, str] | None = None,
        turns: Turns | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._origins = origins or {}
        self._turns = turns
        self._clock = clock
        self._wall = wall
        wanting = {name: settings for name, settings in sites.items() if settings != PolitenessSettings()}
        self._sites = {name: _Site(name, settings, clock()) for name, settings in wanting.items()}

    def told(self) -> tuple[Politeness, ...]:
        """Return how each polite site is read at the moment."""
        now = self._wall()
        return tuple(
            Politeness(
                site=site.name,
                connections=site.settings.connections,
                requests_per_second=site.settings.requests_per_second,
                bytes_per_second=site.settings.bytes_per_second,
                hours=site.settings.hours,
                open=until_open(site.settings.hours, now) == 0,
                reading=site.reading,
                waiting=site.waiting,
            )
            for site in self._sites.values()
        )

    def host_of(self, source: Source) -> str:
        """Return the site that is asked when a source is read: by its address where that is known, else as it says."""
        if not self._origins:
            return source.site
        return self._origins.get(origin_of(container_of(source.href)), source.site)

    def minds(self, name: str) -> bool:
        """Tell whether a site minds how it is read: whoever reads another needs no turn."""
        return name in self._sites

    async def turn(self, name: str) -> "Turn":
        """Wait for a turn at a site, and take it; it is held until it is ended.

        Raises:
            LeftAlone: the site is not to be read at this hour.
        """
        site = self._sites.get(name)
        if site is None:
            return Turn(None, self._clock, None, None)
        pause = until_open(site.settings.hours, self._wall())
        if pause:
            until = datetime.fromtimestamp(self._wall() + pause, UTC).strftime("%H:%M")
            raise LeftAlone(f"left alone until {until} UTC: it may be read at {site.settings.hours} h only", pause)
        site.waiting += 1
        try:
            shared = await self._slot(site)
            try:
                await self._paced(site)
            except BaseException:  # also where the wait is given up: others want the slot
                _release(site, self._turns, shared)
                raise
        finally:
            site.waiting -= 1
        site.reading += 1
        return Turn(site, self._clock, self._turns, shared)

    async def _slot(self, site: _Site) -> str | None:
        """Take one of a site's connections, of ours and then of all; return what it is known by to others."""
        if site.slots is None:
            return None
        await site.slots.acquire()
        if self._turns is None:
            return None
        try:
            while (shared := await self._turns.begin(site.name)) is None:  # noqa: ASYNC110 - others tell nobody
                await asyncio.sleep(random.uniform(*_LOOK_AGAIN))  # noqa: S311 - jitter
        except BaseException:  # also where the wait is given up
            site.slots.release()
            raise
        return shared

    async def again(self, name: str) -> None:
        """Wait until one more request may be made within a turn (a redirect)."""
        site = self._sites.get(name)
        if site is not None:
            await self._paced(site)

    async def _paced(self, site: _Site) -> None:
        if site.rate is None or site.bucket is None:
            return
        if self._turns is not None:
            while not await _granted(await self._turns.pace(site.name, requests=1)):
                pass
            return
        site.bucket, wait = taken(site.bucket, site.rate, self._clock(), patience=_FOREVER)
        if wait:
            await asyncio.sleep(wait)


class Turn:
    """One transfer's turn at a site: how much it may read at once, and how long it pauses after that."""

    def __init__(self, site: _Site | None, clock: Callable[[], float], turns: Turns | None, shared: str | None) -> None:
        self._site = site
        self._clock = clock
        self._turns = turns
        self._shared = shared
        self._ended = site is None

    def piece(self, limit: int) -> int:
        """Return how many bytes to read at once."""
        allowed = None if self._site is None else self._site.settings.bytes_per_second
        return limit if allowed is None else max(1, min(limit, allowed // _SHARE))

    async def pay(self, count: int) -> None:
        """Pause for bytes that were read, so that all of the site's transfers keep to its bytes a second."""
        site = self._site
        if site is None or site.settings.bytes_per_second is None:
            return
        if self._turns is not None:
            await self._pay_together(site, self._turns, count, site.settings.bytes_per_second)
            return
        now = self._clock()
        site.paid_until = max(site.paid_until, now) + count / site.settings.bytes_per_second
        await asyncio.sleep(site.paid_until - now)

    async def _pay_together(self, site: _Site, turns: Turns, count: int, rate: int) -> None:
        """Take bytes out of what is granted to this process; ask for more by shares of a second."""
        async with site.paying:
            site.granted -= count
            while site.granted < 0:
                share = max(1, rate // _SHARE)
                if await _granted(await turns.pace(site.name, count=share)):
                    site.granted += share

    def end(self) -> None:
        """Let the next one have its turn. Idempotent."""
        if self._ended or self._site is None:
            return
        self._ended = True
        self._site.reading -= 1
        _release(self._site, self._turns, self._shared)


async def _granted(grant: Grant) -> bool:
    """Wait as long as it takes; tell whether it was given then."""
    await asyncio.sleep(grant.wait)
    return grant.given


def _release(site: _Site, turns: Turns | None, shared: str | None) -> None:
    if turns is not None and shared is not None:
        turns.end(shared)
    if site.slots is not None:
        site.slots.release()


class PoliteConnection:
    """A connection (:class:`harvest.connections.Connection`) within a turn: it keeps the pace, and its end ends it."""

    def __init__(self, connection: Connection, turn: Turn) -> None:
        self._connection = connection
        self._turn = turn
        self.opened: Opened = connection.opened

    async def read(self, limit: int) -> Buffer:
        """Return at most ``limit`` bytes, none at the end."""
        piece = await self._connection.read(self._turn.piece(limit))
        await self._turn.pay(len(piece))
        return piece

    async def close(self) -> None:
        """Let go, and let the next one have its turn."""
        try:
            await self._connection.close()
        finally:
            self._turn.end()
