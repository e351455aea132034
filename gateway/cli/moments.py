"""Times as people write them: a full date is its whole day, where the STAC API wants instants (RFC 3339)."""

from edges.stac.datetimes import format_instant, parse_day_or_instant


def spelled_out(text: str) -> str:
    """Return an instant or interval for the API; what is neither stays, for the gateway to refuse in its words.

    >>> spelled_out("2026-04-01/2026-05-31"), spelled_out("2026-04-01T12:00:00Z"), spelled_out("2026-04-01/..")
    ('2026-04-01T00:00:00Z/2026-05-31T23:59:59.999999Z', '2026-04-01T12:00:00Z', '2026-04-01T00:00:00Z/..')
    """
    start, slash, end = text.partition("/")
    if not slash and _first(start) == _last(start):
        return text
    return f"{_first(start)}/{_last(end if slash else start)}"


def _first(text: str) -> str:
    covered = parse_day_or_instant(text)
    return text if covered is None or covered.start is None else format_instant(covered.start)


def _last(text: str) -> str:
    covered = parse_day_or_instant(text)
    return text if covered is None or covered.end is None else format_instant(covered.end)
