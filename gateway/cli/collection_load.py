"""Files of items as one body of lines, made while it is sent: each item is told by its file where it is wrong."""

import asyncio
import bisect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edges.catalogues.sources import Entry, UnreadableInput, find_files, read_entries
from edges.model import Frozen, Json
from gateway.cli.remote import EXIT_FAILED, CommandFailed, Remote

_PIECE_BYTES = 1 << 18


class Loaded(Frozen):
    """What came of it; ``told`` are lines for people."""

    added: int
    replaced: int
    bad: int
    told: list[str]

    def as_json(self) -> Json:
        """Return it for scripts."""
        return {"added": self.added, "replaced": self.replaced, "bad": self.bad, "told": self.told}


def load_files(remote: Remote, path: str, paths: Sequence[Path], *, atomic: bool) -> Loaded:
    """Send the items of files and folders to a bulk load.

    Raises:
        CommandFailed: a file cannot be read, or the gateway refuses.
    """
    try:
        files = find_files(paths)
    except UnreadableInput as error:
        raise CommandFailed(str(error), EXIT_FAILED) from error
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} items"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("loading", total=None)
        sending = _Sending(files, lambda count, name: bar.update(task, completed=count, description=name))
        answer = remote.upload(path + ("?atomic=true" if atomic else ""), sending.pieces(), "application/x-ndjson")
    if sending.wrong and sending.stopped:
        raise CommandFailed(sending.wrong[-1], EXIT_FAILED)
    told = [*sending.wrong, *(sending.where(one) for one in answer["told"])]
    return Loaded(added=answer["added"], replaced=answer["replaced"], bad=answer["bad"] + len(sending.wrong), told=told)


class _Sending:
    """Reads the files in a thread, a piece ahead of what is sent."""

    def __init__(self, files: Sequence[Path], tell: Callable[[int, str], None]) -> None:
        self._files = files
        self._tell = tell
        self._begins: list[int] = []
        self._count = 0
        self.wrong: list[str] = []
        self.stopped = False

    async def pieces(self) -> AsyncIterator[bytes]:
        made = self._pieces()
        while (piece := await asyncio.to_thread(next, made, b"")) != b"":
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        piece = bytearray()
        for path in self._files:
            self._begins.append(self._count)
            for item in self._items(path):
                piece += item.replace(b"\n", b" ") + b"\n"
                self._count += 1
                if len(piece) >= _PIECE_BYTES:
                    self._tell(self._count, path.name)
                    yield bytes(piece)
                    piece.clear()
        self._tell(self._count, "waiting")
        if piece:
            yield bytes(piece)

    def _items(self, path: Path) -> Iterator[bytes]:
        try:
            for entry in read_entries(path):
                item = self._item(entry)
                if item is not None:
                    yield item
        except UnreadableInput as error:
            self.wrong.append(str(error))
            self.stopped = True

    def _item(self, entry: Entry) -> bytes | None:
        if entry.item is None and entry.collection is None:
            self.wrong.append(f"{entry.where}: {entry.wrong}")
        return entry.item

    def where(self, told: dict[str, Any]) -> str:
        """Say in which file a line was, and where in it."""
        number = int(told["line"]) - 1
        place = bisect.bisect_right(self._begins, number) - 1
        return f"{self._files[place]}, item {number - self._begins[place] + 1}: {told['detail']}"
