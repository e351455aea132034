"""What this process and those beside it tell each other, and how: frames of MessagePack on a socket between them."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from harvest.bucket_keys import Bucket
from harvest.claims import ObjectClaim
from harvest.desk_wire import Deed, Terms
from harvest.model import Value
from harvest.settling import Ending

MAX_FRAME = 64 << 20
_LENGTH = 4

Key = tuple[int, int]
"""A claim: its object, and its fence."""

Failed = Literal["", "lost", "unavailable", "ledger", "broken"]
"""Why an act or the work on a claim did not end well; nothing where it did."""


class Given(Value, frozen=True):
    """A claim to be carried out, and the headers that its work is known by."""

    claim: ObjectClaim
    known: Mapping[str, str]


class Answered(Value, frozen=True):
    """What an act was answered, by its number."""

    number: int
    body: bytes = b""
    failed: Failed = ""
    reason: str = ""


class Down(Value, frozen=True):
    """Told to a process beside: how to carry (first of all), keys, claims to carry out or to stop, and answers."""

    terms: Terms | None = None
    buckets: Mapping[str, Bucket] = {}
    given: tuple[Given, ...] = ()
    dropped: tuple[Key, ...] = ()
    answers: tuple[Answered, ...] = ()
    asked: bool = False


class Act(Value, frozen=True):
    """An act on a claim, to be written down; see :class:`harvest.desk_wire.Deed`."""

    number: int
    verb: str
    deed: Deed


class Ended(Value, frozen=True):
    """How the work on a claim ended."""

    key: Key
    ending: Ending = "lost"
    failed: Failed = ""
    reason: str = ""


class Noted(Value, frozen=True):
    """A record for the log."""

    logger: str
    level: int
    message: str
    extra: Mapping[str, str]


class Up(Value, frozen=True):
    """Told by a process beside; nothing at all only says that it is alive."""

    acts: tuple[Act, ...] = ()
    ended: tuple[Ended, ...] = ()
    noted: tuple[Noted, ...] = ()


class Pipe(asyncio.Protocol):
    """One end of the socket: frames in their order. Make it by ``loop.create_unix_connection(Pipe, sock=...)``."""

    def __init__(self) -> None:
        self._came = bytearray()
        self._frames: deque[bytes] = deque()
        self._over = False
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket (called by asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (called by asyncio)."""
        self._came += data
        while len(self._came) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._came[:_LENGTH], "big")
            if end > _LENGTH + MAX_FRAME:
                self.close()
                return
            if len(self._came) < end:
                return
            self._frames.append(bytes(self._came[_LENGTH:end]))
            del self._came[:end]
            self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the other side is gone (called by asyncio)."""
        self._over = True
        self._changed.set()

    async def receive(self) -> bytes | None:
        """Return the next frame, or None where the other side is gone."""
        while not self._frames and not self._over:
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft() if self._frames else None

    def send(self, value: Any) -> None:
        """Send a frame. What cannot be sent any more is dropped."""
        if self._transport is None or self._over:
            return
        body = msgspec.msgpack.encode(value)
        self._transport.write(len(body).to_bytes(_LENGTH, "big") + body)

    def close(self) -> None:
        """Close at once. Idempotent."""
        self._over = True
        self._changed.set()
        if self._transport is not None:
            self._transport.abort()
