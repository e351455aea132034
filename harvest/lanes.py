"""Lanes: how many parts a process carries at once, and which parts of one object are still to be carried. Pure."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

LEAST_PART = 5 << 20
"""Bytes of a part at least (Amazon S3, "Amazon S3 multipart upload limits"); the last one may be smaller."""


def lanes_of(part_bytes: int, size: int, most: int) -> int:
    """Return how many parts of ``size`` bytes go at once, so that no more than ``part_bytes`` are on their way.

    >>> lanes_of(64 << 20, 16 << 20, 4), lanes_of(64 << 20, 20 << 20, 4), lanes_of(5 << 20, 5 << 20, 4)
    (4, 3, 1)
    """
    return max(1, min(most, part_bytes // size))


def lane_bytes(part_bytes: int, most: int) -> int:
    """Return the size of parts of which several go at once: what a crash loses is ``part_bytes`` in all, at most.

    >>> lane_bytes(64 << 20, 4) >> 20, lane_bytes(8 << 20, 4) >> 20, lane_bytes(1 << 20, 4) >> 20
    (16, 5, 1)
    """
    return max(part_bytes // most, min(LEAST_PART, part_bytes))


class Lanes:
    """What is being carried now, by all workers of a process: beyond ``most`` no object has more than one lane."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._busy = 0

    @property
    def crowded(self) -> bool:
        """Whether more is being carried than lanes are there: those beside the first are to be given back."""
        return self._busy > self.most

    @contextmanager
    def own(self) -> Iterator[None]:
        """Take the first lane of an object, which it always has."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def spare(self) -> bool:
        """Take one more lane where one is free; it is to be given back (:meth:`give_back`)."""
        if self._busy >= self.most:
            return False
        self._busy += 1
        return True

    def give_back(self) -> None:
        """Give back a lane that was spare."""
        self._busy -= 1


class Plan:
    """Which parts of an object nobody has carried or taken: the first lane takes from the front, others from behind."""

    def __init__(self, total: int, part_bytes: int, there: Collection[int]) -> None:
        self._total = total
        self._part_bytes = part_bytes
        count = -(-total // part_bytes)
        self._left = [number for number in range(1, count + 1) if number not in there]

    @property
    def left(self) -> int:
        """Return how many parts are left to be taken."""
        return len(self._left)

    def first(self) -> int | None:
        """Take the first that is left."""
        return self._left.pop(0) if self._left else None

    def last(self) -> int | None:
        """Take the last that is left."""
        return self._left.pop() if self._left else None

    def back(self, number: int) -> None:
        """Give back what was taken and could not be carried."""
        self._left = sorted([*self._left, number])

    def span(self, number: int) -> tuple[int, int]:
        """Return the first byte of a part, and where it stops (not included)."""
        start = (number - 1) * self._part_bytes
        return start, min(start + self._part_bytes, self._total)
