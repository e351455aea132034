"""Byte ranges (RFC 9110 section 14). Pure."""

import re
from typing import NamedTuple

from edges.errors import EdgeError
from edges.model import Frozen

_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{1,18})?|-\s*(\d{1,18}))\s*,?\s*", re.IGNORECASE)


class RangeNotSatisfiable(EdgeError):
    """No byte of the range exists. ``total`` is the length of the whole, where it is known."""

    status = 416
    title = "Range not satisfiable"

    def __init__(self, total: int | None) -> None:
        super().__init__("the range begins past the end" + ("" if total is None else f": there are {total} bytes"))
        self.total = total


class ByteRange(Frozen):
    """One range: from ``first`` to ``last`` (both included; None is to the end), or the last ``suffix`` bytes."""

    first: int = 0
    last: int | None = None
    suffix: int | None = None

    @property
    def header(self) -> str:
        """Return it as the value of a ``Range`` field."""
        if self.suffix is not None:
            return f"bytes=-{self.suffix}"
        return f"bytes={self.first}-{'' if self.last is None else self.last}"


class Span(NamedTuple):
    """Bytes of a whole: where they begin, and how many."""

    first: int
    length: int


def range_of(header: str) -> ByteRange | None:
    """Read a ``Range`` field; None for what is no single range of bytes: a server may ignore that (section 14.2).

    >>> range_of("bytes=500-"), range_of("bytes=-5"), range_of("bytes=0-1,5-6")
    (ByteRange(first=500, last=None, suffix=None), ByteRange(first=0, last=None, suffix=5), None)
    """
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return ByteRange(suffix=int(suffix))
    if last is not None and int(last) < int(first):
        return None
    return ByteRange(first=int(first), last=None if last is None else int(last))


def span_of(asked: ByteRange, total: int) -> Span:
    """Return which bytes of a whole a range means.

    Raises:
        RangeNotSatisfiable: none.
    """
    if asked.suffix is not None:
        length = min(asked.suffix, total)
        span = Span(total - length, length)
    else:
        last = total - 1 if asked.last is None else min(asked.last, total - 1)
        span = Span(asked.first, last - asked.first + 1)
    if span.length <= 0:
        raise RangeNotSatisfiable(total)
    return span
