"""Items of a bulk load, line by line, as they come: NDJSON as it is sent, GeoParquet once it is there."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar

import aiohttp

from edges import geoparquet
from edges.errors import InvalidInput
from edges.geoparquet import NotInstalled, installed

_READ_BYTES = 1 << 18
_SAID_BYTES = 500


class TooLarge(Exception):
    """A bulk load is larger than is taken."""

    status: ClassVar[int] = 413
    title: ClassVar[str] = "Bulk load too large"


class TooSlow(Exception):
    """Nothing came of a bulk load for too long."""

    status: ClassVar[int] = 408
    title: ClassVar[str] = "Request timeout"


async def pieces(content: aiohttp.StreamReader, *, most: int, pause_seconds: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes; a client may pause, but not for ever.

    Raises:
        TooLarge: there are more than ``most`` bytes.
        TooSlow: nothing came for ``pause_seconds``.
    """
    size = 0
    while True:
        try:
            async with asyncio.timeout(pause_seconds):
                piece = await content.read(_READ_BYTES)
        except TimeoutError as error:
            raise TooSlow(f"nothing came for {pause_seconds:g} s") from error
        if not piece:
            return
        size += len(piece)
        if size > most:
            raise TooLarge(f"a bulk load may have at most {most} bytes; divide it")
        yield piece


async def lines_of(body: AsyncIterator[bytes], *, longest: int) -> AsyncIterator[bytes]:
    """Yield the lines of a body that hold something, and empty ones as they are, so that lines can be counted.

    Raises:
        InvalidInput: a line is longer than ``longest`` bytes.
    """
    rest = b""
    number = 0
    async for piece in body:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            yield line.strip(b"\x1e \t\r")
        if len(rest) > longest:
            raise InvalidInput(f"line {number + 1}", f"more than {longest} bytes", "one item on each line")
    if rest.strip():
        yield rest.strip(b"\x1e \t\r")


@asynccontextmanager
async def parquet_lines(body: AsyncIterator[bytes], folder: Path) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the items of a GeoParquet file as lines; what was written to disk for it is gone afterwards.

    Raises:
        NotInstalled: the gateway cannot read it.
        InvalidInput: while reading: it is no stac-geoparquet file.
    """
    if not installed():
        raise NotInstalled("GeoParquet needs the extra `parquet` at the gateway; NDJSON is always taken")
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="load-", dir=folder, ignore_cleanup_errors=True) as made:
        path = Path(made) / "items.parquet"
        with path.open("wb") as file:
            async for piece in body:
                await asyncio.to_thread(file.write, piece)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"{geoparquet.__name__}.items", str(path),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield _output(process)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def _output(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("the process was started without its pipes")
    while piece := await process.stdout.read(_READ_BYTES):
        yield piece
    said = (await process.stderr.read()).decode("utf-8", "replace").strip().rpartition("\n")[2]
    if await process.wait():
        raise InvalidInput("body", said[:_SAID_BYTES] or "it cannot be read", "a stac-geoparquet file")
