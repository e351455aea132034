from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.errors import InvalidInput
from edges.model import Interval
from edges.stac.datetimes import format_instant, format_interval, parse_instant, parse_interval


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
    ],
)
def test_an_instant_is_read_in_microseconds(text, us):
    assert parse_instant(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "2020-01-01",
        "2020-01-01T00:00:00",
        "2020-13-01T00:00:00Z",
        "2020-02-30T00:00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01T00:60:00Z",
        "2020-01-01T00:00:00.1234567890Z",
        "2020-01-01T00:00:00+24:00",
        "0001-01-01T00:00:00+01:00",
        "٢٠٢٠-01-01T00:00:00Z",
        "",
    ],
)
def test_what_is_not_rfc_3339_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the documented contract of the function
        parse_instant(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_instant_survives_a_round_trip(moment):
    text = moment.isoformat().replace("+00:00", "Z")
    assert format_instant(parse_instant(text)) == text


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01T00:00:00Z/1970-01-01T00:00:01Z", 0, 1_000_000),
        ("../1970-01-01T00:00:00Z", None, 0),
        ("/1970-01-01T00:00:00Z", None, 0),
        ("1970-01-01T00:00:00Z/..", 0, None),
        ("1970-01-01T00:00:00Z/", 0, None),
    ],
)
def test_an_interval_may_have_one_open_end(text, start, end):
    interval = parse_interval(text)
    assert interval == Interval(start=start, end=end)
    assert parse_interval(format_interval(interval)) == interval


@pytest.mark.parametrize(
    "text", ["../..", "/", "", "..", "x/y", "2021-01-01T00:00:00Z/2020-01-01T00:00:00Z", "a" * 200]
)
def test_a_wrong_interval_names_the_field(text):
    with pytest.raises(InvalidInput, match="datetime"):
        parse_interval(text)


def test_the_epoch_is_utc():
    assert parse_instant(datetime(2000, 1, 1, tzinfo=UTC).isoformat()) == 946_684_800_000_000
