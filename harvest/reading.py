"""Reading a source: one continuous stream of bytes, however often the connection breaks.

A connection that ends early, stalls or drips is replaced by another from the byte that is missing, as long as bytes go
on arriving.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

import tenacity

from edges.lines.sockets import Buffer
from edges.unwritten import unwritten
from harvest.connections import Connection
from harvest.errors import NotYet, SourceChanged, SourceFailed
from harvest.model import Source

_T = TypeVar("_T")

PIECE = 1 << 20
"""Bytes taken from a source at once, at most."""

REGAIN = 1 << 20
"""Bytes after which earlier outages are forgiven: a retry is paid for by progress."""


class Patience:
    """How long to put up with a source.

    Times in seconds, ``slowest`` in bytes per second over a stall time.
    """

    __slots__ = ("attempts", "pause", "slowest", "stall")

    def __init__(self, *, stall: float, attempts: int, pause: float, slowest: float = 1024.0) -> None:
        self.stall = stall
        self.attempts = attempts
        self.pause = pause
        self.slowest = slowest


class Opener(Protocol):
    """What opens connections to sources: :class:`harvest.sources.Sources`."""

    @property
    def patience(self) -> Patience:
        """How long to put up with a source."""
        ...

    async def connect(self, source: Source, start: int, validator: str | None, stop: int | None = None) -> Connection:
        """Open a connection from byte ``start``, up to ``stop``; see :meth:`harvest.sources.Sources.connect`."""
        ...


def _passing(error: BaseException) -> bool:
    """Tell whether a failure may pass by itself, on the same connection's terms."""
    return isinstance(error, SourceFailed) and error.again and not isinstance(error, NotYet | SourceChanged)


class Reading:
    """A stream that mends itself. After entering, ``total`` (bytes, if told) and ``validator`` are known.

    With a ``stop`` (not included) no more than that is asked for and read, of a source that knows ranges.

    Raises from each method:
        SourceChanged: what was read before is no longer what the source holds; begin anew.
        NotYet: the source asks to come back later than we wait here.
        SourceFailed: it does not deliver, and further trying would not help.
    """

    def __init__(
        self, sources: Opener, source: Source, start: int, validator: str | None, stop: int | None = None
    ) -> None:
        self._sources = sources
        self._patience = sources.patience
        self._source = source
        self._connection: Connection | None = None
        self._outages = 0
        self._mark = start
        self._since, self._waited = start, 0.0
        self._stop = stop
        self.position = start
        self.validator = validator
        self.total: int | None = None
        self.framed = False

    async def __aenter__(self) -> Self:
        await self._persist(self._connected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def read(self, limit: int) -> Buffer:
        """Return some of the next ``limit`` bytes, none at the end. They hold until the next reading."""
        return await self._persist(partial(self._read, min(limit, PIECE)))

    async def move(self, start: int, stop: int) -> None:
        """Go on from another byte, up to ``stop``; what was asked for before is let go."""
        await self._drop()
        self.position = self._mark = self._since = start
        self._stop = stop

    async def read_part(self, size: int) -> Buffer:
        """Return the next ``size`` bytes, held in memory; fewer only at the end."""
        piece = await self.read(size) if size else b""
        if len(piece) == size:  # in one piece, as small objects come
            return piece if isinstance(piece, memoryview) and isinstance(piece.obj, bytes) else bytes(piece)
        body, came = unwritten(size), 0  # what is not filled is cut off
        with memoryview(body) as room:
            while piece:
                room[came : came + len(piece)] = piece
                came += len(piece)
                piece = await self.read(size - came) if came < size else b""
        del body[came:]
        return body

    async def _read(self, limit: int) -> Buffer:
        self._watch()  # before reading: what has been read must not be lost by an error
        if self.position == self._stop:
            return b""
        connection = await self._connected()
        began = time.monotonic()
        piece = await connection.read(limit if self._stop is None else min(limit, self._stop - self.position))
        self._waited += time.monotonic() - began
        self.position += len(piece)
        if self.total is not None and self.position > self.total:
            raise SourceFailed(f"more than the announced {self.total} bytes came", again=False)
        end = self.total if self._stop is None else self._stop
        if not piece and end is not None and self.position < end:
            raise SourceFailed(f"ended after {self.position} of {end} bytes", again=True)
        return piece

    def _watch(self) -> None:
        """Forgive outages after progress; break off a source that drips.

        Only the time spent waiting for the source counts: while we are busy elsewhere, nothing can come.
        """
        if self.position - self._mark >= REGAIN:
            self._mark, self._outages = self.position, 0
        if self._waited >= self._patience.stall:
            got, waited = self.position - self._since, self._waited
            self._since, self._waited = self.position, 0.0
            if got < self._patience.slowest * waited:
                raise SourceFailed(f"slower than {self._patience.slowest:g} bytes/s", again=True)

    async def _connected(self) -> Connection:
        if self._connection is None:
            begun = self.position > 0 or self._stop is not None
            if begun and self.validator is None:
                raise SourceChanged  # it cannot be told whether it has
            connection = await self._sources.connect(self._source, self.position, self.validator, self._stop)
            self._connection = connection
            opened = connection.opened
            if begun and None not in (self.total, opened.total) and opened.total != self.total:
                raise SourceChanged
            self.total, self.validator = opened.total, opened.validator
            self.framed = opened.framed
            if opened.skip and self._stop is not None:
                raise SourceFailed("the source knows no ranges", again=False)
            await self._skip(connection, opened.skip)
            self._since, self._waited = self.position, 0.0
        return self._connection

    async def _skip(self, connection: Connection, count: int) -> None:
        """Read over what is there already: the source has not changed, but knows no ranges."""
        while count:
            piece = await connection.read(min(count, PIECE))
            if not piece:
                raise SourceFailed("ended before the place where reading had stopped", again=True)
            count -= len(piece)

    async def _persist(self, act: Callable[[], Awaitable[_T]]) -> _T:
        """Do it, again after outages, until the budget is used up; bytes that arrive renew the budget."""
        try:
            return await self._noting(act)
        except SourceFailed as error:  # the everyday case costs no machinery
            if not _passing(error) or self._spent():
                raise
            await asyncio.sleep(self._pause(error))
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_passing),
            stop=lambda _: self._spent(),
            wait=lambda state: self._pause(state.outcome.exception() if state.outcome else None),
            reraise=True,
        ):
            with attempt:
                return await self._noting(act)
        raise AssertionError("the retry loop ends by return or raise")  # pragma: no cover

    async def _noting(self, act: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await act()
        except SourceFailed as error:
            self._outages += 1
            await self._drop()
            if not isinstance(error, NotYet) and error.after is not None and error.after > self._patience.pause:
                raise NotYet(error.after) from error
            raise

    def _spent(self) -> bool:
        return self._outages >= self._patience.attempts

    def _pause(self, error: BaseException | None) -> float:
        asked: float | None = error.after if isinstance(error, SourceFailed) else None
        grown: float = random.uniform(0.5, 1.0) * min(self._patience.pause, 0.1 * 2**self._outages)  # noqa: S311 - jitter
        return max(grown, asked or 0.0)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
