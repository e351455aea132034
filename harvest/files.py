"""Files of the gateway's own machine as sources: of one configured folder per site, and of nothing beside it.

Each step of a path is opened below the one before and follows no symbolic link (``openat(2)`` with ``O_NOFOLLOW``), so
that neither ``..`` nor a link leads out, also not one that is put there while we look.
"""

import asyncio
import contextlib
import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harvest.errors import SourceChanged, SourceFailed
from harvest.http_answers import Opened

_STEP = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


class Folder:
    """A folder whose files may be read; ``root`` is absolute, and may itself be a link."""

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise ValueError(f"a folder of sources must be an absolute path, got {str(root)!r}")
        self._root = root

    async def open(self, href: str, start: int, validator: str | None) -> "FileConnection":
        """Open a file from byte ``start``.

        Raises:
            SourceFailed: it is not below the folder, not there, or no plain file.
            SourceChanged: it is not the one that ``validator`` is of.
        """
        steps = self._steps(href)
        return await asyncio.to_thread(self._opened, steps, start, validator)

    def _steps(self, href: str) -> list[str]:
        """Return the way from the folder to a file."""
        try:
            address = urlsplit(href)
            path = unquote(address.path, errors="strict")
        except ValueError as error:
            raise SourceFailed("the address is no file's", again=False) from error
        below = path.removeprefix(f"{str(self._root).rstrip('/')}/")
        steps = below.split("/")
        if address.netloc not in ("", "localhost") or below == path or "\0" in path or {"", ".", ".."} & set(steps):
            raise SourceFailed("the file is not in the folder that this site may name", again=False)
        return steps

    def _opened(self, steps: list[str], start: int, validator: str | None) -> "FileConnection":
        try:
            descriptor = self._walked(steps)
        except OSError as error:  # what exactly is there is nobody's business
            raise SourceFailed("the file is not there, or cannot be read", again=False) from error
        try:
            opened = _opened(os.fstat(descriptor), validator)
        except BaseException:  # nobody else has it
            os.close(descriptor)
            raise
        return FileConnection(descriptor, start, opened)

    def _walked(self, steps: list[str]) -> int:
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps[:-1]:
                following = os.open(step, _STEP | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = following
            return os.open(steps[-1], _STEP | os.O_NONBLOCK, dir_fd=folder)  # else a pipe would wait for a writer
        finally:
            os.close(folder)


class FileConnection:
    """One open file, read in threads."""

    def __init__(self, descriptor: int, start: int, opened: Opened) -> None:
        self._descriptor = descriptor
        self._position = start
        self._busy = asyncio.Lock()
        self._closed = False
        self.opened = opened

    async def read(self, limit: int) -> bytes:
        """Return at most ``limit`` bytes, none at the end; raise SourceChanged where it was written to meanwhile."""
        async with self._busy:
            reading = asyncio.create_task(asyncio.to_thread(self._read, min(limit, _PIECE)), name="harvest-file")
            try:
                piece = await asyncio.shield(reading)
            except asyncio.CancelledError:
                await asyncio.wait([reading])  # the descriptor must outlive the thread's use of it
                raise
        self._position += len(piece)
        return piece

    def _read(self, limit: int) -> bytes:
        try:
            piece = os.pread(self._descriptor, limit, self._position)
            if _validator(os.fstat(self._descriptor)) != self.opened.validator:
                raise SourceChanged
        except OSError as error:
            raise SourceFailed(f"the file cannot be read: {type(error).__name__}", again=True) from error
        return piece

    async def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                os.close(self._descriptor)


def _opened(status: os.stat_result, validator: str | None) -> Opened:
    if not stat.S_ISREG(status.st_mode):
        raise SourceFailed("the file is not there, or cannot be read", again=False)
    if validator is not None and _validator(status) != validator:
        raise SourceChanged
    return Opened(total=status.st_size, validator=_validator(status), skip=0)


def _validator(status: os.stat_result) -> str:
    """Return what changes when a file does: as an ETag, for it stands where those of servers stand."""
    return f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
