"""The layout of a ZIP archive that is sent as it is made: stored, each file's CRC-32 after it. Pure.

Its length is known before the first byte. Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.9 (data
descriptor), 4.3.12 (central directory), 4.3.14 to 4.3.16 (ends), 4.5.3 (ZIP64).
"""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence

from edges.model import Frozen

_LIMIT = 0xFFFFFFFF
_MANY = 0xFFFF
_FLAGS = 0x0808
"""The CRC follows the file; names are UTF-8."""
_DATE = (1 << 5) | 1
"""1980-01-01, the zero of ZIP's time."""


class File(Frozen):
    """One file: its ``name`` in the archive, the ``key`` of the object that it is, and its size in bytes."""

    name: str
    key: str
    size: int


class Sent(Frozen):
    """One file that has been sent: at which byte its header stands, and its CRC-32."""

    file: File
    offset: int
    crc: int


def files_named(entries: Iterable[tuple[str, int]]) -> tuple[File, ...]:
    """Return files for objects, by key and size; a key ends in collection, item, asset and file.

    Each is in its item's folder, by its own name, or below its asset's where two would be alike.

    >>> [each.name for each in files_named([("c/i/B02/a.tif", 1), ("c/i/B03/b.tif", 1), ("c/i/x/b.tif", 1)])]
    ['i/a.tif', 'i/B03/b.tif', 'i/x/b.tif']
    """
    told = [(key, size, key.split("/")[-4:]) for key, size in entries]
    short = [f"{parts[1]}/{parts[-1]}" for _, _, parts in told]
    times = Counter(short)
    return tuple(
        File(name=name if times[name] == 1 else f"{parts[1]}/{parts[2]}/{parts[-1]}", key=key, size=size)
        for (key, size, parts), name in zip(told, short, strict=True)
    )


def length(files: Sequence[File]) -> int:
    """Return how long the archive of these files will be, in bytes."""
    offset = 0
    sent = []
    for file in files:
        sent.append(Sent(file=file, offset=offset, crc=0))
        offset += len(header(file)) + file.size + len(descriptor(file, 0))
    return offset + len(ending(sent, offset))


def header(file: File) -> bytes:
    """Return what stands before a file."""
    name, large = file.name.encode(), file.size >= _LIMIT
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if large else b""
    size = _LIMIT if large else 0
    version = 45 if large else 20
    fixed = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", version, _FLAGS, 0, 0, _DATE, 0, size, size, len(name), len(extra))
    return fixed + name + extra


def descriptor(file: File, crc: int) -> bytes:
    """Return what stands after a file."""
    return struct.pack("<4sIQQ" if file.size >= _LIMIT else "<4sIII", b"PK\7\10", crc, file.size, file.size)


def ending(sent: Sequence[Sent], offset: int) -> bytes:
    """Return what stands after all files: the central directory, which begins at byte ``offset``."""
    directory = b"".join(map(_central, sent))
    count, size = len(sent), len(directory)
    if count < _MANY and size < _LIMIT and offset < _LIMIT:
        return directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, size, offset, 0)
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + size, 1)
    few, short, near = min(count, _MANY), min(size, _LIMIT), min(offset, _LIMIT)
    return directory + wide + locator + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, few, few, short, near, 0)


def _central(sent: Sent) -> bytes:
    name, size, offset = sent.file.name.encode(), sent.file.size, sent.offset
    wide = [size, size] if size >= _LIMIT else []
    wide += [offset] if offset >= _LIMIT else []
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = 45 if wide else 20
    short, near = min(size, _LIMIT), min(offset, _LIMIT)
    fixed = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        *(b"PK\1\2", version, version, _FLAGS, 0, 0, _DATE, sent.crc, short, short, len(name), len(extra)),
        *(0, 0, 0, 0, near),
    )
    return fixed + name + extra
