"""Conditional requests and ranges of a client (RFC 9110 section 13). Pure."""

from collections.abc import Mapping
from typing import Literal

from edges.downloads.answers import Opened
from edges.http_dates import http_date
from edges.model import Frozen

Verdict = Literal["go", "unchanged", "failed"]


class Conditions(Frozen):
    """What a client knows already; empty is not asked."""

    match: str = ""
    none_match: str = ""
    modified_since: str = ""
    unmodified_since: str = ""
    if_range: str = ""

    @property
    def for_site(self) -> Mapping[str, str]:
        """Return what the site may answer by itself, with 304; nothing where another condition comes first."""
        if self.match or self.unmodified_since:
            return {}
        if self.none_match:
            return {"If-None-Match": self.none_match}
        return {"If-Modified-Since": self.modified_since} if self.modified_since else {}


def conditions_of(headers: Mapping[str, str]) -> Conditions:
    """Read the conditions of a request."""
    return Conditions(
        match=headers.get("If-Match", ""),
        none_match=headers.get("If-None-Match", ""),
        modified_since=headers.get("If-Modified-Since", ""),
        unmodified_since=headers.get("If-Unmodified-Since", ""),
        if_range=headers.get("If-Range", ""),
    )


def verdict(conditions: Conditions, opened: Opened) -> Verdict:
    """Tell what is to be answered, in the order of section 13.2.2."""
    if conditions.match:
        if not _matches(conditions.match, opened.etag, weakly=False):
            return "failed"
    elif conditions.unmodified_since and _newer(opened.last_modified, conditions.unmodified_since):
        return "failed"
    if opened.unchanged:
        return "unchanged"
    if conditions.none_match:
        return "unchanged" if _matches(conditions.none_match, opened.etag, weakly=True) else "go"
    if conditions.modified_since and _newer(opened.last_modified, conditions.modified_since) is False:
        return "unchanged"
    return "go"


def range_holds(if_range: str, opened: Opened) -> bool:
    """Tell whether a range is of the bytes that the client has a part of (section 13.1.5); True without a condition.

    >>> range_holds('"a"', Opened(etag='"a"')), range_holds('W/"a"', Opened(etag='W/"a"'))
    (True, False)
    """
    if not if_range:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range == opened.etag and not if_range.startswith("W/")
    return bool(if_range) and if_range == opened.last_modified


def _matches(told: str, etag: str, *, weakly: bool) -> bool:
    if told.strip() == "*":
        return True
    if not etag or (not weakly and etag.startswith("W/")):
        return False
    wanted = etag.removeprefix("W/") if weakly else etag
    each = (part.strip() for part in told.split(","))
    return any((part.removeprefix("W/") if weakly else part) == wanted for part in each)


def _newer(last_modified: str, told: str) -> bool | None:
    """Tell whether it has changed since; None where either is no date: it is ignored then (13.1.3, 13.1.4)."""
    changed, known = http_date(last_modified), http_date(told)
    return None if changed is None or known is None else changed > known
