"""When a request is made again, and what ``Retry-After`` says."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from edges.retry import RetryTerms, Trouble, pause_before_retry, retry_after

TERMS = RetryTerms(attempts=3, first_pause=0.1, longest_pause=2.0, longest_rest=300.0)
NOW = 1_700_000_000.0


def pause(trouble: Trouble, *, attempt: int = 1, left: float = 10.0, rest: float | None = None) -> float | None:
    return pause_before_retry(trouble, attempt=attempt, left=left, jitter=1.0, terms=TERMS, rest=rest)


def test_a_stale_connection_is_tried_once_more_and_at_once() -> None:
    assert pause("stale") == 0.0
    assert pause("stale", attempt=2) is None


def test_an_overloaded_site_is_asked_again_after_growing_pauses() -> None:
    assert [pause("overloaded", attempt=attempt) for attempt in (1, 2, 3)] == [0.1, 0.2, None]


@pytest.mark.parametrize("trouble", ["timeout", "broken"])
def test_what_took_its_time_or_gave_bytes_is_not_repeated(trouble: Trouble) -> None:
    assert pause(trouble) is None


def test_the_pause_that_a_site_asks_for_is_kept_where_the_time_allows() -> None:
    assert pause("throttled", rest=2.0) == 2.0
    assert pause("throttled", rest=6.0) is None


def test_no_retry_is_begun_that_could_not_end() -> None:
    assert pause("unreachable", left=0.1) is None


def test_jitter_spreads_pauses_over_their_upper_half() -> None:
    low = pause_before_retry("overloaded", attempt=1, left=9, jitter=0.0, terms=TERMS)
    assert low == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 12 ", 12),
        ("99999999999999999999", 300),
        (format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True), 30),
        (format_datetime(datetime.fromtimestamp(NOW - 30, UTC), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300),
        ("Fri, 31 Dec 9999 23:59:59", 300),
        ("-5", None),
        ("1e3", None),
        ("soon", None),
        ("\N{SUPERSCRIPT TWO}", None),
        ("Fri, 99 Dec 2099 23:59:59 GMT", None),
        ("x" * 100_000, None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_within_bounds(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, now=NOW, longest=300.0) == seconds
