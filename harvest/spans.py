"""Spans of time and intervals relative to now, as rules write them (ISO 8601). Pure."""

import re
from dataclasses import dataclass

from edges.errors import InvalidInput
from edges.model import Interval
from edges.stac.datetimes import parse_interval

_SPAN = re.compile(
    r"P(?!$)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,6})D)?"
    r"(?:T(?!$)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,6})?)S)?)?"
)
_SECONDS = (365.25 * 86_400, 30.4375 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)


def seconds_of(span: str, field: str = "duration") -> float:
    """Return an ISO 8601 duration in seconds; years and months are mean ones. ``field`` is named where it is none.

    >>> seconds_of("P90D"), seconds_of("PT1H30M"), seconds_of("P2W")
    (7776000.0, 5400.0, 1209600.0)

    Raises:
        InvalidInput: it is none.
    """
    match = _SPAN.fullmatch(span)
    if match is None:
        raise InvalidInput(field, f"got {span[:40]!r}", "an ISO 8601 duration such as PT1H or P90D")
    return float(sum(float(part) * each for part, each in zip(match.groups(), _SECONDS, strict=True) if part))


@dataclass(frozen=True, kw_only=True)
class RelativeInterval:
    """An interval whose ends may be relative to now (``-P90D/..``, ``-P1D/now``); ``fixed`` where neither is."""

    start: str
    end: str

    @classmethod
    def parse(cls, text: str) -> "RelativeInterval":
        """Read an interval.

        Raises:
            InvalidInput: it is none.
        """
        start, slash, end = text.partition("/")
        interval = cls(start=start, end=end if slash else start)
        interval.at(0.0)
        return interval

    def at(self, now: float) -> Interval:
        """Return the interval as it is at a time (epoch seconds).

        >>> RelativeInterval.parse("-P1D/..").at(86_400.0)
        Interval(start=0, end=None)
        """
        start, end = _end(self.start, now), _end(self.end, now)
        if isinstance(start, str) and isinstance(end, str):
            return parse_interval(self.start if self.start == self.end else f"{start or '..'}/{end or '..'}")
        return Interval(
            start=start if isinstance(start, int) else _fixed(start, "{}/..").start,
            end=end if isinstance(end, int) else _fixed(end, "../{}").end,
        )


def _fixed(text: str, form: str) -> Interval:
    return Interval() if text in ("", "..") else parse_interval(form.format(text))


def _end(text: str, now: float) -> str | int:
    """Return a relative end in microseconds, another one as it is."""
    if text == "now":
        return int(now * 1e6)
    if text[:1] in ("-", "+") and text[1:2] == "P":
        return int((now + (1 if text[0] == "+" else -1) * seconds_of(text[1:])) * 1e6)
    return text
