"""The circuit breaker, under a clock that the test moves."""

import pytest

from edges.health import TERMS, BreakerTerms, Pulse, asked, failed, succeeded

DOWN = 3


def tripped(now: float = 0.0) -> Pulse:
    pulse = Pulse()
    for _ in range(DOWN):
        pulse = failed(pulse, "refused", now)
    return pulse


def test_failures_in_a_row_open_the_breaker_and_one_answer_between_them_does_not() -> None:
    assert tripped().state(0.0) == "open"
    pulse = failed(failed(succeeded(failed(failed(Pulse(), "x", 0), "x", 0), 0), "x", 0), "x", 0)
    assert pulse.state(0.0) == "closed"
    assert pulse.health().status == "degraded"


def test_failures_by_turns_with_answers_open_it_where_half_of_the_last_ones_failed() -> None:
    pulse, terms = Pulse(), BreakerTerms(window=10, ratio=0.5)
    for _ in range(5):
        pulse = failed(succeeded(pulse, 0.0, terms), "x", 0.0, terms=terms)
    assert pulse.state(0.0) == "open"


def test_after_the_rest_one_request_is_let_through_and_no_second() -> None:
    pulse = tripped()
    assert not pulse.admits(4.9)
    assert pulse.state(5.1) == "half-open"
    assert pulse.admits(5.1)
    pulse = asked(pulse, 5.1)
    assert not pulse.admits(5.2)
    assert succeeded(pulse, 6.0).state(6.0) == "closed"


def test_a_trial_whose_outcome_never_came_does_not_keep_the_site_out() -> None:
    pulse = asked(tripped(), 6.0)
    assert not pulse.admits(6.0 + TERMS.trial_seconds - 0.1)
    assert pulse.admits(6.0 + TERMS.trial_seconds)


def test_each_lost_trial_doubles_the_rest_up_to_a_cap() -> None:
    pulse, now, rests = tripped(), 0.0, []
    for _ in range(10):
        assert pulse.open_until is not None
        rests.append(pulse.open_until - now)
        now = pulse.open_until
        pulse = failed(asked(pulse, now), "x", now)
    assert rests == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300, 300, 300])


def test_jitter_spreads_the_end_of_the_rest() -> None:
    pulse = failed(failed(Pulse(), "x", 0), "x", 0)
    early, late = (failed(pulse, "x", 0, jitter=jitter).open_until for jitter in (0.0, 1.0))
    assert (early, late) == (3.75, 6.25)


def test_failures_that_come_in_while_it_is_open_do_not_lengthen_the_rest() -> None:
    pulse = tripped()
    assert failed(pulse, "late", 1.0).open_until == pulse.open_until


def test_a_site_that_fails_again_soon_rests_longer_and_one_that_was_good_for_long_begins_anew() -> None:
    again = tripped()
    again = succeeded(asked(again, 6.0), 6.0)
    for _ in range(DOWN):
        again = failed(again, "x", 7.0)
    assert again.open_until == pytest.approx(17.0)
    calm = succeeded(succeeded(tripped(), 6.0), 1_000.0)
    for _ in range(DOWN):
        calm = failed(calm, "x", 1_001.0)
    assert calm.open_until == pytest.approx(1_006.0)


def test_a_clock_put_back_by_an_hour_does_not_keep_a_site_out_for_an_hour() -> None:
    assert tripped(now=3_600.0).admits(0.0)


def test_what_is_remembered_of_a_site_is_bounded() -> None:
    pulse = Pulse()
    for now in range(1_000):
        pulse = failed(pulse, "x" * 10_000, float(now))
        pulse = succeeded(pulse, float(now))
    assert len(pulse.outcomes) <= TERMS.window
    assert len(failed(pulse, "x" * 10_000, 0).reason) == 500
