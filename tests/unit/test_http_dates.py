"""Dates in headers, as sites and clients send them."""

from datetime import UTC, datetime

import pytest

from edges.downloads.answers import Opened, judge
from edges.errors import SiteUnavailable
from edges.http_dates import http_date
from edges.retry import retry_after
from gateway.data.conditions import conditions_of, verdict
from gateway.joining.checks import clock_of

GIVEN = "Sun, 06 Nov 1994 08:49:37 GMT"
HOSTILE = [
    "",
    "soon",
    "01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    "Mon, 01 Jan 2024 999999999999999999:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +9999",
    "31 Dec 9999 23:59:59 -2359",
    f"Mon, 01 Jan 2024 00:00:00 GMT ({'x' * 100})",
]


@pytest.mark.parametrize("text", [GIVEN, "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 09:49:37 +0100"])
def test_a_date_is_a_moment_in_utc(text: str) -> None:
    assert http_date(text) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_date_is_none_wherever_one_is_read(text: str) -> None:
    assert http_date(text) is None
    assert retry_after(text, now=0.0, longest=300.0) is None
    assert clock_of(text, now=0.0).verdict == "poor"
    with pytest.raises(SiteUnavailable):
        judge("hub", 503, {"Retry-After": text, "Last-Modified": text}, None)
    assert judge("hub", 200, {"Last-Modified": text}, None).last_modified == ""
    for condition in ("If-Modified-Since", "If-Unmodified-Since"):
        assert verdict(conditions_of({condition: text}), Opened(last_modified=GIVEN)) == "go"


@pytest.mark.parametrize(
    ("since", "unmodified", "modified"),
    [(GIVEN, "go", "unchanged"), ("Sun, 06 Nov 1994 08:49:36 GMT", "failed", "go")],
)
def test_a_date_decides_where_the_resource_has_one_and_is_ignored_where_not(
    since: str, unmodified: str, modified: str
) -> None:
    for condition, wanted in (("If-Unmodified-Since", unmodified), ("If-Modified-Since", modified)):
        assert verdict(conditions_of({condition: since}), Opened(last_modified=GIVEN)) == wanted
        assert verdict(conditions_of({condition: since}), Opened()) == "go"
