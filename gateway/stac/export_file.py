"""An export as one GeoParquet file: spooled to disk first, since its columns are known only when all is seen.

The conversion is a process of its own: it holds the interpreter for long stretches, and its memory ends with it.
"""

import asyncio
import errno
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from edges.model import Json

_CHUNK_BYTES = 1 << 20
_EXIT_DISK_FULL = 7
"""See ``edges.geoparquet.__main__``."""


class DiskFull(Exception):
    """There is no room for the export."""

    status = 507
    title = "No room for the export"


class ConversionFailed(Exception):
    """The items could not be written as GeoParquet."""

    status = 500
    title = "Conversion failed"


class Spool:
    """Lines on disk, up to a bound; only inside ``spooled``."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._lines: BinaryIO = (folder / "items.ndjson").open("wb")
        self._size = 0

    @property
    def full(self) -> bool:
        """Tell whether the bound is reached: the rest is for another file."""
        return self._size >= self._most

    async def add(self, lines: bytes) -> None:
        """Append lines.

        Raises:
            DiskFull: see there.
        """
        with _room():
            await asyncio.to_thread(self._lines.write, lines)
        self._size += len(lines)

    async def converted(self, about: Json) -> Path:
        """Return the file of all lines; ``about`` is told in its metadata.

        Raises:
            DiskFull, ConversionFailed: see there.
        """
        with _room():
            await asyncio.to_thread(self._lines.close)
        target = self._folder / "items.parquet"
        told = msgspec.json.encode(about).decode()
        command = [sys.executable, "-m", "edges.geoparquet", str(self._folder / "items.ndjson"), str(target)]
        process = await asyncio.create_subprocess_exec(
            *command, "--about", told,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise (DiskFull if process.returncode == _EXIT_DISK_FULL else ConversionFailed)(words[:500])
        return target

    def close(self) -> None:
        """Close the lines' file."""
        self._lines.close()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the gateway's disk is full; narrow the export, or ask for NDJSON") from error
        raise


@asynccontextmanager
async def spooled(folder: Path, most_bytes: int) -> AsyncIterator[Spool]:
    """Open a spool below a folder; what it wrote is gone afterwards."""
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="export-", dir=folder, ignore_cleanup_errors=True) as made:
        spool = Spool(Path(made), most_bytes)
        try:
            yield spool
        finally:
            spool.close()


async def chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as content:
        while chunk := await asyncio.to_thread(content.read, _CHUNK_BYTES):
            yield chunk
