"""Budgets as values: the time is a number that the test chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_examples import examples

from edges.budget import Bucket, Rate, earned, full, given_back, share, spent, taken

RATE = Rate(per_second=10.0, burst=5.0)


def waits(rate: Rate, moments: list[float], *, patience: float = 1e9) -> list[float | None]:
    bucket, found = full(rate, moments[0]), []
    for now in moments:
        bucket, wait = taken(bucket, rate, now, patience=patience)
        found.append(wait)
    return found


def test_a_burst_goes_at_once_and_then_one_request_each_tenth_of_a_second() -> None:
    assert waits(RATE, [0.0] * 8) == pytest.approx([0, 0, 0, 0, 0, 0.1, 0.2, 0.3])


def test_a_pause_fills_the_bucket_to_the_burst_and_no_further() -> None:
    assert waits(RATE, [0.0] * 5 + [3600.0] * 6) == pytest.approx([0] * 10 + [0.1])


def test_who_would_wait_too_long_is_refused_and_takes_nothing() -> None:
    assert waits(RATE, [0.0] * 8, patience=0.15) == [0, 0, 0, 0, 0, pytest.approx(0.1), None, None]
    assert waits(RATE, [0.0] * 7 + [0.1], patience=0.15)[-1] == pytest.approx(0.1)


def test_what_was_given_up_goes_to_the_next() -> None:
    bucket, wait = taken(Bucket(tokens=0.0, at=0.0), RATE, 0.0, patience=1.0)
    assert taken(given_back(bucket), RATE, 0.0, patience=1.0)[1] == wait


def test_a_clock_that_is_put_back_neither_fills_nor_empties() -> None:
    assert waits(RATE, [100.0] * 5 + [0.0]) == pytest.approx([0, 0, 0, 0, 0, 0.1])


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0.5), (float("inf"), 1), (float("nan"), 1)])
def test_a_rate_that_lets_nothing_or_everything_through_is_refused(per_second: float, burst: float) -> None:
    with pytest.raises(ValueError, match="a rate needs"):
        Rate(per_second=per_second, burst=burst)


@examples(50)
@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_the_rate_go_in_any_stretch_of_time(gaps: list[float]) -> None:
    moments = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    goes = sorted(at + wait for at, wait in zip(moments, waits(RATE, moments), strict=True) if wait is not None)
    for first in range(len(goes)):
        for last in range(first, len(goes)):
            assert last - first + 1 <= RATE.burst + RATE.per_second * (goes[last] - goes[first]) + 1 + 1e-6


def test_extras_are_a_share_of_the_requests() -> None:
    extra, made = share(0.1, 2.0), 0
    for _ in range(1_000):
        extra = earned(extra)
        left = spent(extra)
        if left is not None:
            extra, made = left, made + 1
    assert made == pytest.approx(102, abs=2)


def test_a_long_quiet_time_allows_no_storm() -> None:
    extra = share(0.1, 2.0)
    for _ in range(1_000):
        extra = earned(extra)
    assert extra.credit == 2.0
