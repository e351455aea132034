"""What was seen of all items so far, and the columns that hold it.

Most items add nothing to what those before them showed. Such a line is told by decoding it as a type that takes
nothing else, which costs a fifth of looking at each of its values.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from edges.geoparquet.lines import decoded
from edges.geoparquet.rows import (
    INSTANTS,
    KEPT_MEMBERS,
    KEPT_PROPERTIES,
    MEMBERS,
    PROJECTED,
    Row,
    box_of,
    to_rows,
    to_wkbs,
)
from edges.geoparquet.shapes import Column, InstantShape, Shape, is_microsecond_instant, record_type

BINARY = ("geometry", PROJECTED)
_KEPT = (KEPT_MEMBERS, KEPT_PROPERTIES)
_FIXED = dict.fromkeys(("type", "stac_version", "id", "collection", *_KEPT), Column(kind="text"))


class Seen:
    """The shapes of all columns."""

    def __init__(self) -> None:
        self._shapes: dict[str, Shape] = {}
        self._familiar: _Familiar | None = None
        self._piece = 1

    def see(self, lines: Sequence[bytes], first: int) -> None:
        """Take lines into account, the first of which has the number ``first``.

        Raises:
            NotItems: a line cannot be read.
        """
        start = 0
        while start < len(lines):
            self._take(lines[start : start + self._piece], first + start)
            start += self._piece
            self._piece *= 2  # a few show most, and what is familiar is made anew after each piece that has others

    def _take(self, lines: Sequence[bytes], first: int) -> None:
        strange = range(len(lines)) if self._familiar is None else self._familiar.others(lines)
        items = [decoded(lines[index], first + index) for index in strange]
        if items:
            for row in to_rows(items):
                self._see(row)
            self._familiar = _familiar(self._shapes)

    def _see(self, row: Row) -> None:
        for name, value in row.items():
            shape = self._shapes.get(name)
            if shape is None:
                shape = self._shapes[name] = InstantShape() if name in INSTANTS else Shape()
            if name not in BINARY:
                shape.see(value)

    def columns(self) -> dict[str, Column]:
        """Return the columns that hold everything that was seen."""
        return {name: _FIXED.get(name) or shape.column() for name, shape in self._shapes.items()}


class _Familiar:
    """The items whose every value has a place in what was seen."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        named = [name for name in shapes if name not in (*MEMBERS, "geometry", "bbox", *_KEPT)]
        record = record_type({name: Any if name == PROJECTED else shapes[name].familiar() for name in named})
        members = {name: shapes[name].familiar() for name in MEMBERS if name in shapes}
        item = record_type({**members, "geometry": Any, "bbox": Any, "properties": record | None})
        self._decode = msgspec.json.Decoder(item).decode
        self._box = shapes["bbox"]
        within = {field.encode_name: attrgetter(field.name) for field in msgspec.structs.fields(record)}
        self._projected = within.get(PROJECTED, _nothing)
        self._instants = [read for name, read in within.items() if shapes[name].column().kind == "instant"]
        beside = {field.encode_name: attrgetter(field.name) for field in msgspec.structs.fields(item)}
        self._geometry, self._bbox, self._properties = (beside[name] for name in ("geometry", "bbox", "properties"))

    def others(self, lines: Sequence[bytes]) -> list[int]:
        """Return which lines are none of these."""
        others: list[int] = []
        geometries: list[tuple[int, Any]] = []
        for index, line in enumerate(lines):
            try:
                item = self._decode(line)
            except (msgspec.DecodeError, RecursionError):
                others.append(index)
                continue
            properties = self._properties(item)
            if not self._has_place(self._bbox(item), properties):
                others.append(index)
                continue
            geometries.append((index, self._geometry(item)))
            if properties is not None:
                geometries.append((index, self._projected(properties)))
        binaries = to_wkbs([geometry for _, geometry in geometries])
        lost = {
            index
            for (index, geometry), binary in zip(geometries, binaries, strict=True)
            if geometry is not None and binary is None
        }
        return sorted(lost.union(others))

    def _has_place(self, bbox: Any, properties: Any) -> bool:
        box = None if bbox is None else box_of(bbox)
        if bbox is not None and box is None:
            return False
        self._box.see(box)
        instants = () if properties is None else (read(properties) for read in self._instants)
        return all(instant is None or is_microsecond_instant(instant) for instant in instants)


def _nothing(_properties: Any) -> None:
    """Read what no item had."""


def _familiar(shapes: Mapping[str, Shape]) -> _Familiar | None:
    """Return what is familiar now; None where names are such that no type can be made of them."""
    try:
        return _Familiar(shapes)
    except ValueError:
        return None
