"""The lines of a file of items, some megabytes at a time."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edges.model import Json

SLICE_BYTES = 8 << 20
"""JSON that is taken apart at once: some eight times as much as Python objects."""


class NotItems(ValueError):
    """A line of the input is no STAC item; says which."""


def slices(source: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines of a file, each time with the number of the first, from 1.

    Raises:
        OSError: the file cannot be read.
    """
    lines: list[bytes] = []
    first = following = 1
    size = 0
    with source.open("rb") as content:
        for line in content:
            lines.append(line)
            following += 1
            size += len(line)
            if size >= SLICE_BYTES:
                yield first, lines
                lines, first, size = [], following, 0
    if lines:
        yield first, lines


def decoded(line: bytes, number: int) -> Json:
    """Return the item of a line.

    Raises:
        NotItems: it holds none.
    """
    try:
        try:
            item = msgspec.json.decode(line)
        except msgspec.DecodeError:  # numbers beyond all floats, which the standard library reads
            item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotItems(f"line {number} is no JSON: {error}") from error
    if not isinstance(item, dict):
        raise NotItems(f"line {number} is no STAC item but {line[:40]!r}")
    return item
