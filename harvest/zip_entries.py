"""Members of zip archives, found from the archive's end. Pure.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (its end,
with Zip64) and 4.5.3 (Zip64 extra field). What stands in an archive was written by strangers: nothing is believed that
the rest of the archive contradicts.
"""

import struct
from typing import NamedTuple
from urllib.parse import unquote

from harvest.errors import SourceFailed

END_BYTES = 22 + 65_535 + 20
"""Bytes from an archive's end in which its directory is told: the record, the longest comment, Zip64's locator."""

MAX_DIRECTORY = 32 << 20
"""Bytes of a directory that is read; some 300,000 members."""

MAX_RATIO = 250
"""How often larger than its packed bytes a member may be..."""

ALWAYS_FINE = 16 << 20
"""...unless it is no larger than this."""

LOCAL_BYTES = 30

_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_ALL16, _ALL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 0x1 | 0x40
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8


class Span(NamedTuple):
    """Bytes of an archive."""

    start: int
    size: int


class Entry(NamedTuple):
    """One member: where its local header is, how it is packed, and what comes out (sizes in bytes)."""

    name: bytes
    header: int
    deflated: bool
    packed: int
    size: int
    crc: int


def record64(tail: bytes, total: int) -> Span | None:
    """Return where Zip64's record of the directory is, given the last bytes of an archive; None where there is none."""
    at = _end_at(tail)
    if at < _LOCATOR64.size:
        return None
    signature, _, start, _ = _LOCATOR64.unpack_from(tail, at - _LOCATOR64.size)
    if signature != b"PK\x06\x07":
        return None
    return _inside(start, _END64.size, total)


def directory(tail: bytes, record: bytes | None, total: int) -> Span:
    """Return where the directory is.

    Raises:
        SourceFailed: this is no archive, or one in several files.
    """
    _, disk, first, here, count, size, start, _ = _END.unpack_from(tail, _end_at(tail))
    if record is not None:
        if len(record) != _END64.size or record[:4] != b"PK\x06\x06":
            raise _broken("its Zip64 record is none")
        _, _, _, _, disk, first, here, count, size, start = _END64.unpack(record)
    if disk or first or here != count:
        raise SourceFailed("the archive is one of several files", again=False)
    if size > MAX_DIRECTORY:
        raise SourceFailed(f"the archive's directory has more than {MAX_DIRECTORY} bytes", again=False)
    return _inside(start, size, total)


def find(told: bytes, member: str, total: int) -> Entry:
    """Return a member from the bytes of the directory, by its name, written as it is or percent-encoded.

    Raises:
        SourceFailed: it is not there, there twice, or packed in a way that is not read.
    """
    names = {member.encode(), unquote(member).encode()}
    found: list[Entry] = []
    at = 0
    while at + _ENTRY.size <= len(told):
        fields = _ENTRY.unpack_from(told, at)
        signature, flags, method, crc, packed, size = (fields[each] for each in (0, 3, 4, 7, 8, 9))
        name_size, extra_size, note_size, disk, header = (fields[each] for each in (10, 11, 12, 13, 16))
        if signature != b"PK\x01\x02":
            raise _broken("its directory breaks off")
        name = told[at + _ENTRY.size : at + _ENTRY.size + name_size]
        extra = told[at + _ENTRY.size + name_size : at + _ENTRY.size + name_size + extra_size]
        at += _ENTRY.size + name_size + extra_size + note_size
        if _as_utf8(name, flags) not in names:
            continue
        size, packed, header = _wide(extra, size, packed, header)
        if disk not in (0, _ALL16):
            raise SourceFailed("the archive is one of several files", again=False)
        _check_packing(flags, method, packed, size)
        _inside(header, LOCAL_BYTES + packed, total)
        found.append(Entry(name, header, method == _DEFLATED, packed, size, crc))
    if not found:
        raise SourceFailed("the archive has no such member", again=False)
    if len(found) > 1:
        raise SourceFailed("the archive has several members of this name", again=False)
    return found[0]


def header_span(entry: Entry, total: int) -> Span:
    """Return where a member's local header is, up to the end of its name."""
    return _inside(entry.header, LOCAL_BYTES + len(entry.name), total)


def data_span(entry: Entry, header: bytes, total: int) -> Span:
    """Return where a member's packed bytes are, given its local header.

    Raises:
        SourceFailed: the header is another member's.
    """
    if len(header) != LOCAL_BYTES + len(entry.name):
        raise _broken("a member's header is cut off")
    signature, _, _, _, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack_from(header)
    if signature != b"PK\x03\x04" or name_size != len(entry.name) or header[LOCAL_BYTES:] != entry.name:
        raise _broken("its directory and a member's header contradict each other")
    return _inside(entry.header + LOCAL_BYTES + name_size + extra_size, entry.packed, total)


def _end_at(tail: bytes) -> int:
    """Return where the record of the end is: the last that reaches exactly to the end."""
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if at + _END.size <= len(tail) and at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
    raise SourceFailed("this is no zip archive, or it is cut off", again=False)


def _check_packing(flags: int, method: int, packed: int, size: int) -> None:
    if flags & _ENCRYPTED:
        raise SourceFailed("the member is encrypted", again=False)
    if method not in (_STORED, _DEFLATED):
        raise SourceFailed(f"the member is packed by method {method}; stored (0) and deflate (8) are read", again=False)
    if method == _STORED and packed != size:
        raise _broken("a member that is stored has two sizes")
    if size > max(ALWAYS_FINE, packed * MAX_RATIO):
        raise SourceFailed(f"the member unpacks to more than {MAX_RATIO} times its size", again=False)


def _wide(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Return sizes and place as Zip64's extra field tells those that do not fit into 32 bits."""
    field = _extra_field(extra, 0x0001)
    values: list[int] = []
    for plain in (size, packed, header):
        if plain != _ALL32:
            values.append(plain)
        elif len(field) < 8:
            raise _broken("a member's Zip64 field is missing")
        else:
            values.append(int.from_bytes(field[:8], "little"))
            field = field[8:]
    return values[0], values[1], values[2]


def _extra_field(extra: bytes, wanted: int) -> bytes:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return b""


def _as_utf8(name: bytes, flags: int) -> bytes:
    """Return a name in UTF-8; without the flag it is in code page 437, if it is not UTF-8 all the same."""
    if flags & _UTF8 or name.isascii():
        return name
    try:
        name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437").encode()
    return name


def _inside(start: int, size: int, total: int) -> Span:
    if start + size > total:
        raise _broken("it tells of bytes behind its end")
    return Span(start, size)


def _broken(why: str) -> SourceFailed:
    return SourceFailed(f"the archive is broken: {why}", again=False)
