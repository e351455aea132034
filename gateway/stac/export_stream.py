"""An export on its way to a client: lines of items, what became of them, and a client that may be slow or gone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from aiohttp import hdrs, web
from isal import isal_zlib

from edges.model import Json, Members
from edges.stac.hrefs import looks_unsafe
from gateway.problems import problem, problem_of
from gateway.search.merge import Group
from gateway.search.page import Page

LINES_AT_ONCE = 64
"""Items rendered before others get their turn on the event loop."""
STALL_SECONDS = 300.0
"""How long a client may take nothing at all."""
_LOOK_SECONDS = 0.2
"""How often it is looked whether the client is still there, while it waits for a page."""
_LEVEL, _GZIP = 1, 31
"""Speed over size, and the frame of gzip (zlib's window bits)."""
T = TypeVar("T")


class ClientGone(Exception):
    """The client hung up, or has taken nothing for too long."""


@dataclass(kw_only=True)
class Outcome:
    """What became of an export so far. ``resume`` takes it up where it stands; None once all is given."""

    resume: str | None
    items: int = 0
    missing: set[str] = field(default_factory=set)
    error: Json | None = None

    def add(self, resume: str | None, items: int, missing: Iterable[str]) -> None:
        """Count a page that was given away; ``resume`` goes on after it."""
        self.resume = resume
        self.items += items
        self.missing |= set(missing)

    def fail(self, error: Exception) -> None:
        """Note why it ended early; an error that nobody expected is told without its words."""
        response = problem_of(error) or problem(500, "Internal error", "the gateway failed at this export")
        body = response.body
        self.error = msgspec.json.decode(body) if isinstance(body, bytes) else {"status": response.status}

    @property
    def complete(self) -> bool:
        """Tell whether nothing is missing: no site, and nothing after what was given."""
        return self.error is None and not self.missing and self.resume is None

    def record(self) -> Json:
        """Return it as the last record of a stream, or as metadata of a file."""
        told: Json = {
            "type": "lakegate:export",
            "complete": self.complete,
            "items": self.items,
            "missing": sorted(self.missing),
            "resume": self.resume,
        }
        return told if self.error is None else told | {"error": self.error}


def checkpoint(outcome: Outcome) -> bytes:
    """Return the record that says where the export can be taken up again."""
    return line({"type": "lakegate:checkpoint", "items": outcome.items, "resume": outcome.resume})


def line(value: object) -> bytes:
    """Return a value as a line of NDJSON."""
    text = msgspec.json.encode(value)
    if not text.isascii():
        text = text.decode("utf-8", "replace").encode()  # raw members of a site were never decoded
    # Between JSON values a line break is white space like any other; within texts it is not allowed.
    return text.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def piece_of(
    page: Page,
    render: Callable[[Group], Members],
    safe: Callable[[Sequence[Members], Sequence[Group]], Sequence[Members]],
) -> Iterator[bytes]:
    """Yield the lines of a page, some at a time; ``safe`` is asked where some of them look unsafe together."""
    for start in range(0, len(page.groups), LINES_AT_ONCE):
        groups = page.groups[start : start + LINES_AT_ONCE]
        items = [render(group) for group in groups]
        lines = b"".join(map(line, items))
        yield b"".join(map(line, safe(items, groups))) if looks_unsafe(lines) else lines


class Packing:
    """Gzip for a stream, if the client takes it: what was given is on its way at once, checkpoints above all."""

    def __init__(self, request: web.Request) -> None:
        takes = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
        self._packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP) if takes else None
        self.headers = {hdrs.VARY: hdrs.ACCEPT_ENCODING} | ({hdrs.CONTENT_ENCODING: "gzip"} if takes else {})

    def packed(self, lines: bytes) -> bytes:
        """Return lines as they are sent."""
        if self._packer is None:
            return lines
        sent: bytes = self._packer.compress(lines) + self._packer.flush(isal_zlib.Z_SYNC_FLUSH)
        return sent

    def end(self) -> bytes:
        """Return what ends the stream."""
        return b"" if self._packer is None else bytes(self._packer.flush(isal_zlib.Z_FINISH))


async def following(pages: AsyncGenerator[T, None], request: web.Request) -> T | None:
    """Return what an iterator gives next, None at its end.

    Raises:
        ClientGone: the client hung up meanwhile; what was being made is given up.
    """
    task = asyncio.ensure_future(anext(pages, None))
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_SECONDS)
            if is_gone(request):
                raise ClientGone
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def is_gone(request: web.Request) -> bool:
    """Tell whether the client has hung up."""
    transport = request.transport
    return transport is None or transport.is_closing()


async def delivered(request: web.Request, write: Awaitable[None]) -> None:
    """Wait until a client has taken what it was given, for a while.

    Raises:
        ClientGone: it has hung up, or takes nothing.
    """
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await write
    except (ConnectionError, TimeoutError) as error:
        break_off(request)
        raise ClientGone from error


def break_off(request: web.Request) -> None:
    """Cut the connection, so that no client takes a part for the whole."""
    if request.transport is not None:
        with contextlib.suppress(OSError):
            request.transport.abort()
