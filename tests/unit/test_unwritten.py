"""Room that nobody fills with zeros is as any other once it was written."""

import pytest

from edges.unwritten import unwritten


@pytest.mark.parametrize("size", [0, 1, 4_096, 3 << 20])
def test_room_has_its_size_and_keeps_what_is_written(size: int) -> None:
    room = unwritten(size)
    assert type(room) is bytearray
    assert len(room) == size
    room[:] = b"x" * size
    assert room == b"x" * size
    room += b"y"
    assert room.endswith(b"y")


def test_each_room_is_its_own() -> None:
    one, other = unwritten(8), unwritten(8)
    one[:], other[:] = b"a" * 8, b"b" * 8
    assert one == b"a" * 8
