"""``lakegate search --to``: a whole search into a file, however large, and however often it is interrupted."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from edges import geoparquet
from edges.model import Frozen, Json
from gateway.cli.remote import EXIT_FAILED, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, CommandFailed, Remote
from gateway.cli.search_part import Part

EXIT_STOPPED = 130
"""By Ctrl-C, as shells have it."""
ATTEMPTS = 4
"""How often in a row a broken connection is made again without anything new."""
_RECORD = b'{"type":"lakegate:'
_PAUSE_SECONDS = 1.0


class Exported(Frozen):
    """What came of it."""

    file: str
    items: int
    complete: bool
    missing: list[str]
    bytes: int
    seconds: float
    taken_up_at: int


class _Broken(Exception):
    """The stream ended without its last record."""


class _Rate(ProgressColumn):
    """Items in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} items/s" if speed else "", style="progress.data.speed")


def export(remote: Remote, body: Json, target: Path, *, most: int | None) -> Exported:
    """Bring a search into a file.

    Raises:
        CommandFailed: it cannot be brought to its end; what came so far is kept, where the same command goes on.
    """
    if target.name.endswith(".parquet") and not geoparquet.installed():
        raise CommandFailed("a .parquet file needs `pip install lakegate[parquet]`; .ndjson needs nothing", EXIT_USAGE)
    started = time.monotonic()
    search = body | {"url": remote.url, "max_items": most}
    with Part(target, search) as part, _bar() as bar:
        before = part.point.items
        if before:
            click.echo(f"Going on after {before:,} items.", err=True)
        task = bar.add_task("items", total=most or _matched(remote, body), completed=before)
        bringing = _Bringing(remote, body, part, most, lambda count: bar.update(task, completed=count))
        try:
            end = part.point.end or asyncio.run(bringing.run())
            items = part.point.items
            writing = bar.add_task("writing", total=items, visible=target.name.endswith(".parquet"))
            told = {name: end[name] for name in ("complete", "items", "missing")} | {"items": items}
            part.finish(lambda count: bar.update(writing, completed=count), {"export": told})
        except KeyboardInterrupt as error:
            kept = part.point.items
            raise CommandFailed(f"stopped; {kept:,} items are kept, the same command goes on", EXIT_STOPPED) from error
    return Exported(
        file=str(target),
        items=items,
        complete=not end["missing"],
        missing=end["missing"],
        bytes=target.stat().st_size,
        seconds=round(time.monotonic() - started, 3),
        taken_up_at=before,
    )


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _matched(remote: Remote, body: Json) -> int | None:
    """Return how many items there will be, where that is known."""
    page = remote.call("POST", "/search", body | {"limit": 1})
    return cast("int | None", page.get("numberMatched"))


class _Bringing:
    """Reads the stream into a part, and makes a broken connection again where it stood."""

    def __init__(self, remote: Remote, body: Json, part: Part, most: int | None, told: Callable[[int], None]) -> None:
        self._remote = remote
        self._body = body
        self._part = part
        self._most = most
        self._told = told
        self._before = part.point.items
        self._items = part.point.items

    async def run(self) -> Json:
        """Return the last record."""
        attempts = 0
        while True:
            stood = self._part.point.items
            try:
                return await self._streamed()
            except _Broken as error:
                attempts = 1 if self._part.point.items > stood else attempts + 1
                if attempts >= ATTEMPTS:
                    kept = self._part.point.items
                    words = f"the connection to {self._remote.url} broke off ({error}); {kept:,} items are kept"
                    raise CommandFailed(f"{words}, the same command goes on", EXIT_UNREACHABLE) from error
            await asyncio.sleep(_PAUSE_SECONDS * attempts)

    async def _streamed(self) -> Json:
        self._part.cut()
        self._before = self._items = self._part.point.items
        if self._most is not None and self._before >= self._most:
            return {"complete": True, "items": 0, "missing": [], "resume": None}
        asked: dict[str, Any] = self._body | {"records": "checkpoints", "format": "ndjson"}
        if self._part.point.resume is not None:
            asked["resume"] = self._part.point.resume
        if self._most is not None:
            asked["max_items"] = self._most - self._before
        stream = cast("Any", _lines(self._remote, asked))
        async with aclosing(stream):
            async for items, lines, record in stream:
                self._take(items, lines)
                if record is None:
                    continue
                if record["type"] == "lakegate:export":
                    return self._ended(record)
                self._part.keep(self._before + record["items"], record["resume"])
        raise _Broken("it ended early")

    def _take(self, items: int, lines: bytes) -> None:
        if items:
            self._part.write(lines)
            self._items += items
            self._told(self._items)

    def _ended(self, record: Json) -> Json:
        """Keep what came, and judge the end."""
        error = record.get("error")
        items = self._before + record["items"]
        self._part.keep(items, record["resume"], end=record if error is None else None)
        if error is None:
            return record
        kept = self._part.point.items
        words = f"{error.get('detail') or error.get('title')}; {kept:,} items are kept, the same command goes on"
        raise CommandFailed(words, EXIT_REFUSED if error.get("status", 500) < 500 else EXIT_FAILED)


async def _lines(remote: Remote, asked: Json) -> AsyncIterator[tuple[int, bytes, Json | None]]:
    """Yield (count, lines of items, the record after them) as they come."""
    rest = b""
    async with remote.streamed("POST", "/search/export", asked) as pieces:
        try:
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                waiting: list[bytes] = []
                for line in lines:
                    if not line.startswith(_RECORD):
                        waiting.append(line)
                        continue
                    yield len(waiting), _joined(waiting), msgspec.json.decode(line)
                    waiting = []
                if waiting:
                    yield len(waiting), _joined(waiting), None
        except ConnectionError as error:
            raise _Broken(str(error) or type(error).__name__) from error


def _joined(lines: list[bytes]) -> bytes:
    return b"".join([line + b"\n" for line in lines])
