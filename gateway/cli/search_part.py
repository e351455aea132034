"""What an export has brought so far, beside the file that it is to become: so that it can be taken up again."""

import errno
import fcntl
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from edges.model import Frozen, Json
from gateway.cli.remote import EXIT_FAILED, EXIT_REFUSED, CommandFailed

KINDS = (".parquet", ".ndjson", ".ndjson.gz")
_EXIT_DISK_FULL = 7
"""See ``edges.geoparquet.__main__``."""


class Point(Frozen):
    """Where an export stands: ``bytes`` of the part hold ``items``, and ``resume`` goes on after them.

    ``end`` is the last record of the stream, once it has come: then all that is left is to make the file.
    """

    search: Json
    items: int = 0
    bytes: int = 0
    resume: str | None = None
    end: Json | None = None


_POINT = msgspec.json.Decoder(Point)


def kind_of(target: Path) -> str:
    """Return the ending of a file's name.

    Raises:
        ValueError: it is none that an export can have.
    """
    kind = next((kind for kind in sorted(KINDS, key=len, reverse=True) if target.name.endswith(kind)), None)
    if kind is None:
        raise ValueError(f"the name of {target.name!r} ends with none of {', '.join(KINDS)}")
    return kind


@contextmanager
def told_disk(path: Path) -> Iterator[None]:
    """Say in plain words that a file cannot be written; what was brought so far stays.

    Raises:
        CommandFailed: it cannot.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise CommandFailed(_full(path), EXIT_FAILED) from error
        raise CommandFailed(f"{path}: {error.strerror or error}", EXIT_FAILED) from error


def _full(path: Path) -> str:
    return f"the disk of {path.parent} is full; once there is room, the same command goes on where it stopped"


class Part:
    """The part of one target; a context manager that keeps others away. ``point`` is where it stands for sure."""

    def __init__(self, target: Path, search: Json) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self._state = target.with_name(f".{target.name}.part.json")
        self._search = search
        self._lines: BinaryIO | None = None
        self.point = Point(search=search)

    def __enter__(self) -> Self:
        with told_disk(self.path):
            self._lines = self.path.open("ab")
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lines.close()
            raise CommandFailed(f"another command is writing {self.target}", EXIT_REFUSED) from error
        self.point = self._kept() or Point(search=self._search)
        self.cut()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines is not None:
            with suppress(OSError):  # what cannot be written any longer is not counted in the point
                self._lines.close()
        if self.point.items == 0 and self.point.resume is None:
            self.path.unlink(missing_ok=True)  # nothing is in it that could be taken up
            self._state.unlink(missing_ok=True)

    def _kept(self) -> Point | None:
        """Return where the same search stopped before, if it did."""
        try:
            point = _POINT.decode(self._state.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        whole = point.search == self._search and self.path.stat().st_size >= point.bytes
        return point if whole else None

    def write(self, lines: bytes) -> None:
        """Append lines of items."""
        with told_disk(self.path):
            self._opened().write(lines)

    def keep(self, items: int, resume: str | None, end: Json | None = None) -> None:
        """Note that what was written so far is ``items``, after which ``resume`` goes on; or that it is the ``end``."""
        with told_disk(self.path):
            lines = self._opened()
            lines.flush()
            point = Point(search=self._search, items=items, bytes=lines.tell(), resume=resume, end=end)
            made = self._state.with_suffix(".new")
            made.write_bytes(msgspec.json.encode(point))
            made.replace(self._state)
        self.point = point

    def cut(self) -> None:
        """Drop what was written after the last point that was kept."""
        with told_disk(self.path):
            lines = self._opened()
            lines.flush()
            lines.truncate(self.point.bytes)
            lines.seek(self.point.bytes)

    def _opened(self) -> BinaryIO:
        if self._lines is None:
            raise RuntimeError("the part is used before it was entered")
        return self._lines

    def finish(self, told: Callable[[int], None], about: Json) -> None:
        """Make the target of it, whole or not at all. ``told`` hears how many items a conversion has written.

        Raises:
            CommandFailed: it cannot be written; the part stays.
        """
        made = self.target.with_name(f".{self.target.name}.made")
        try:
            with told_disk(self.target):
                self._opened().flush()
                os.fsync(self._opened().fileno())
                self._make(made, told, about).replace(self.target)
        finally:
            made.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)
        self.point = Point(search=self._search)

    def _make(self, made: Path, told: Callable[[int], None], about: Json) -> Path:
        """Return the whole file: ``made``, or the part itself where it is as wanted."""
        kind = kind_of(self.target)
        if kind == ".ndjson":
            return self.path
        if kind == ".parquet":
            self._convert(made, told, about)
        else:
            with self.path.open("rb") as lines, gzip.open(made, "wb", compresslevel=6) as packed:
                shutil.copyfileobj(lines, packed, 1 << 20)
        return made

    def _convert(self, made: Path, told: Callable[[int], None], about: Json) -> None:
        command = [sys.executable, "-m", "edges.geoparquet", str(self.path), str(made)]
        command += ["--about", msgspec.json.encode(about).decode()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                for line in process.stdout or ():
                    said = msgspec.json.decode(line)
                    if said["phase"] == "write":
                        told(said["items"])
                words = (process.stderr.read() if process.stderr else b"").decode("utf-8", "replace").strip()
            except BaseException:  # whatever ended the wait, nobody wants the file any longer
                process.kill()
                raise
        if process.returncode:
            full = process.returncode == _EXIT_DISK_FULL
            raise CommandFailed(_full(made) if full else words.rpartition("\n")[2], EXIT_FAILED)
