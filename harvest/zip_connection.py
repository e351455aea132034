"""A member of an archive as a connection: its directory is read by range, and of the rest the member's bytes alone."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edges.lines.sockets import Buffer
from harvest import zip_entries
from harvest.connections import Connection
from harvest.errors import SourceChanged, SourceFailed
from harvest.http_answers import Opened
from harvest.zip_entries import Entry, Span

_PIECE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Archive:
    """How an archive is read: its last bytes, with its length and validator; and connections from any byte.

    ``begin`` raises SourceChanged where the archive is no longer what ``validator`` is of.
    """

    tail: Callable[[int], Awaitable[tuple[bytes, Opened]]]
    begin: Callable[[int, str | None], Awaitable[Connection]]


async def open_member(archive: Archive, member: str, start: int, validator: str | None) -> "MemberConnection":
    """Open a member from byte ``start`` of it.

    Raises:
        SourceFailed: there is none that could be read, or the archive does not come.
        SourceChanged: the archive is not the one that ``validator`` is of.
    """
    tail, told = await archive.tail(zip_entries.END_BYTES)
    total = told.total or 0
    if told.validator is None:
        raise SourceFailed("the archive has no ETag or date: its members could not be told from another's", again=False)
    if validator is not None and told.validator != validator:
        raise SourceChanged

    async def span(wanted: Span) -> bytes:
        at = wanted.start - (total - len(tail))
        return tail[at : at + wanted.size] if at >= 0 else await _read(archive, wanted, told.validator)

    wide = zip_entries.record64(tail, total)
    record = await span(wide) if wide is not None else None
    entries = await span(zip_entries.directory(tail, record, total))
    entry = await asyncio.to_thread(zip_entries.find, entries, member, total)
    header = await span(zip_entries.header_span(entry, total))
    data = zip_entries.data_span(entry, header, total)
    skipped = 0 if entry.deflated else min(start, entry.size)
    inner = await _begun(archive, data.start + skipped, told.validator)
    opened = Opened(total=entry.size, validator=told.validator, skip=start - skipped)
    return MemberConnection(inner, entry, opened, skipped)


async def _begun(archive: Archive, start: int, validator: str | None) -> Connection:
    """Return a connection that gives the byte ``start`` first."""
    connection = await archive.begin(start, validator)
    try:
        await _read_over(connection, validator)
    except BaseException:  # nobody else has it
        await connection.close()
        raise
    return connection


async def _read_over(connection: Connection, validator: str | None) -> None:
    """Read over what a source sends that knows no ranges."""
    if connection.opened.validator != validator:
        raise SourceChanged
    skip = connection.opened.skip
    while skip:
        piece = await connection.read(min(skip, _PIECE))
        if not piece:
            raise SourceFailed("the archive ended early", again=True)
        skip -= len(piece)


async def _read(archive: Archive, wanted: Span, validator: str | None) -> bytes:
    connection = await _begun(archive, wanted.start, validator)
    body = bytearray()
    try:
        while len(body) < wanted.size:
            piece = await connection.read(min(_PIECE, wanted.size - len(body)))
            if not piece:
                raise SourceFailed("the archive ended early", again=True)
            body += piece
    finally:
        await connection.close()
    return bytes(body)


class MemberConnection:
    """The unpacked bytes of one member (:class:`harvest.connections.Connection`).

    Its CRC-32 is checked before the last bytes are given, where it is read from its beginning. No more comes out than
    the directory tells, and at most ``limit`` bytes are unpacked at once.
    """

    def __init__(self, inner: Connection, entry: Entry, opened: Opened, skipped: int) -> None:
        self._inner = inner
        self._entry = entry
        self._left_packed = entry.packed - skipped
        self._left = entry.size - skipped
        self._unpacker = zlib.decompressobj(-zlib.MAX_WBITS) if entry.deflated else None
        self._pending = b""
        self._crc: int | None = None if skipped else 0
        self.opened = opened

    async def read(self, limit: int) -> Buffer:
        """Return at most ``limit`` bytes, none at the end."""
        while self._left:
            piece = await self._next(min(limit, _PIECE, self._left))
            if piece:
                self._left -= len(piece)
                self._count(piece)
                return piece
        return b""

    async def _next(self, limit: int) -> Buffer:
        unpacker = self._unpacker
        if unpacker is None:
            return await self._packed(limit)
        if unpacker.eof:
            raise SourceFailed("the member unpacks to less than the archive tells", again=False)
        packed = self._pending or await self._packed(_PIECE)
        try:
            piece = await asyncio.to_thread(unpacker.decompress, packed, limit)
        except zlib.error as error:
            raise SourceFailed("the member's packed bytes are broken", again=False) from error
        self._pending = unpacker.unconsumed_tail
        return piece

    async def _packed(self, limit: int) -> Buffer:
        if not self._left_packed:
            raise SourceFailed("the member's packed bytes end early", again=False)
        piece = await self._inner.read(min(limit, self._left_packed))
        if not piece:
            raise SourceFailed("the archive ended early", again=True)
        self._left_packed -= len(piece)
        return piece

    def _count(self, piece: Buffer) -> None:
        if self._crc is None:
            return
        self._crc = zlib.crc32(piece, self._crc)
        if not self._left and self._crc != self._entry.crc:
            raise SourceFailed("the member's CRC-32 is not the one that the archive tells", again=False)

    async def close(self) -> None:
        """Let go."""
        await self._inner.close()
