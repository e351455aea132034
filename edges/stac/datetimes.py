"""Instants and intervals of time: RFC 3339 text to microseconds since 1970-01-01T00:00:00Z, and back."""

import functools
import re
from datetime import UTC, datetime, timedelta

from edges.errors import InvalidInput
from edges.model import Interval

DAY_US = 86_400_000_000
"""Microseconds of a day."""

_TO_SECONDS = len("2024-05-01T00:00:00Z")
_WITH_FRACTION = (_TO_SECONDS + 4, _TO_SECONDS + 7)
_LONGEST_USUAL = max(_WITH_FRACTION)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
_LAST_US = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_MAX_INTERVAL_TEXT = 128  # two instants with nine digits and offsets are 71 characters

_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_RIGHT = "RFC 3339 with an offset, such as 2024-05-01T00:00:00Z, or an interval a/b, ../b, a/.."


def parse_instant(text: str) -> int:
    """Return the instant in microseconds since the epoch (RFC 3339 section 5.6; a seventh digit is dropped).

    A leap second (``:60``) counts as the first instant of the next minute.

    Raises:
        ValueError: not an RFC 3339 date-time, or outside the years 1 to 9999.
    """
    usual = _usual_instant(text) if len(text) <= _LONGEST_USUAL else None
    if usual is not None:
        return usual
    if _INSTANT.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 date-time")
    leap = text[17:19] == "60"
    moment = datetime.fromisoformat((f"{text[:17]}59{text[19:]}" if leap else text).upper())
    instant = _since_epoch(moment) + (1_000_000 if leap else 0)
    if not _FIRST_US <= instant <= _LAST_US:
        raise ValueError(f"{text!r} is outside the years 1 to 9999")
    return instant


@functools.lru_cache(maxsize=8_192)  # one item's time is read for its place in the order, and to check it
def _usual_instant(text: str) -> int | None:
    """Read an instant that is written as most catalogues do, where the standard library reads just what we would."""
    size = len(text)
    usual = (
        (size == _TO_SECONDS or (size in _WITH_FRACTION and text[19] == "."))
        and text[4] == "-" == text[7]
        and text[10] == "T"
        and text[13] == ":" == text[16]
        and text[-1] == "Z"
    )
    try:
        return _since_epoch(datetime.fromisoformat(text)) if usual else None
    except ValueError:
        return None  # no such day, or a leap second


def _since_epoch(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def parse_day_or_instant(text: str) -> Interval | None:
    """Return what a full date (``2024-05-01``, all of that day) or an instant covers; None if neither."""
    try:
        if len(text) == len("2024-05-01"):
            start = parse_instant(f"{text}T00:00:00Z")
            return Interval(start=start, end=start + DAY_US - 1)
        start = parse_instant(text)
    except ValueError:
        return None
    return Interval(start=start, end=start)


def sortable_instant(text: str) -> int | None:
    """Return where a time stands, in microseconds: an instant, or a full date by its first one; None if neither."""
    try:
        return parse_instant(f"{text}T00:00:00Z" if len(text) == len("2024-05-01") else text)
    except ValueError:
        return None


def format_instant(us: int) -> str:
    """Return the instant as RFC 3339 text in UTC, with a fraction only where there is one.

    >>> format_instant(0), format_instant(1_500_000)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500000Z')
    """
    return (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")


def parse_interval(text: str) -> Interval:
    """Parse the ``datetime`` parameter: one instant, or ``a/b`` with one open end (``..`` or nothing).

    Raises:
        InvalidInput: not RFC 3339, both ends open, or the start is after the end.
    """
    if len(text) > _MAX_INTERVAL_TEXT:
        raise InvalidInput("datetime", f"{len(text)} characters", _RIGHT)
    start_text, slash, end_text = text.strip().partition("/")
    if not slash:
        instant = _end(start_text)
        if instant is None:
            raise InvalidInput("datetime", f"{text!r} names no instant", _RIGHT)
        return Interval(start=instant, end=instant)
    start, end = _end(start_text), _end(end_text)
    if start is None and end is None:
        raise InvalidInput("datetime", "both ends are open", _RIGHT)
    if start is not None and end is not None and start > end:
        raise InvalidInput("datetime", f"{start_text} is after {end_text}", "a start that is not after the end")
    return Interval(start=start, end=end)


def _end(text: str) -> int | None:
    if text in ("", ".."):
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise InvalidInput("datetime", str(error), _RIGHT) from error


@functools.lru_cache(maxsize=256)  # each site of a search is asked for the same one
def format_interval(interval: Interval) -> str:
    """Return the ``datetime`` parameter that :func:`parse_interval` reads back."""
    start = ".." if interval.start is None else format_instant(interval.start)
    end = ".." if interval.end is None else format_instant(interval.end)
    return start if start == end else f"{start}/{end}"
