"""Dates in HTTP headers (RFC 9110 section 5.6.7), as strangers send them. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 64


def http_date(text: str) -> datetime | None:
    """Return the moment that a header tells, in UTC where it names no zone; None where it is no date."""
    if len(text) > _LONGEST:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for years and zones beyond any calendar
        return None
