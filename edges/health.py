"""How a site is, as a value and its transitions: the circuit breaker. Pure: time and chance come from outside."""

from typing import Literal

import msgspec

from edges.model import Frozen, Health

State = Literal["closed", "open", "half-open"]


class BreakerTerms(Frozen):
    """When a site is left out, and for how long. Times in seconds.

    It is left out after ``failures`` in a row, or where ``ratio`` of its last ``window`` answers were failures. Then
    for ``first_rest``, doubled each time it fails its trial, up to ``longest_rest``. A trial counts as lost after
    ``trial_seconds``, so that one whose client went away does not keep the site out for ever.
    """

    failures: int = 3
    window: int = 20
    ratio: float = 0.5
    first_rest: float = 5.0
    longest_rest: float = 300.0
    trial_seconds: float = 30.0


TERMS = BreakerTerms()
_FRESH = 1.0
"""Seconds within which one good answer after many tells nothing new."""


class Pulse(Frozen):
    """What is remembered of a site's answers. Moments are seconds since 1970.

    ``outcomes`` are the last answers, newest last, True for a failure. ``trips`` counts the times it was left out
    without a long good time between them.
    """

    failures: int = 0
    reason: str = ""
    last_success: float | None = None
    last_failure: float | None = None
    outcomes: tuple[bool, ...] = ()
    trips: int = 0
    open_until: float | None = None
    trial_until: float | None = None

    @property
    def available(self) -> bool:
        """Tell whether the breaker is closed: the site may be relied on."""
        return self.open_until is None

    def state(self, now: float) -> State:
        """Return the state of the breaker."""
        if self.open_until is None:
            return "closed"
        # a moment that no rest reaches tells of a clock that was put back
        return "open" if now < self.open_until <= now + 2 * TERMS.longest_rest else "half-open"

    def admits(self, now: float) -> bool:
        """Tell whether a request may go to the site now: half open lets one through at a time."""
        state = self.state(now)
        return state == "closed" or (state == "half-open" and (self.trial_until is None or now >= self.trial_until))

    def health(self) -> Health:
        """Say it as the other rooms know it."""
        if self.failures == 0:
            return Health(status="up" if self.last_success else "unknown", checked_at=self.last_success)
        return Health(
            status="degraded" if self.available else "down",
            reason=self.reason,
            checked_at=self.last_failure,
        )


def asked(pulse: Pulse, now: float, terms: BreakerTerms = TERMS) -> Pulse:
    """Return the pulse after a request was let through: half open, it is the one trial."""
    if pulse.state(now) != "half-open":
        return pulse
    return msgspec.structs.replace(pulse, trial_until=now + terms.trial_seconds)


def succeeded(pulse: Pulse, now: float, terms: BreakerTerms = TERMS) -> Pulse:
    """Return the pulse after an answer: the breaker closes; a long good time also forgets how often it opened."""
    if _fresh(pulse, now, terms):
        return pulse
    calm = pulse.last_failure is None or now - pulse.last_failure > terms.longest_rest
    return msgspec.structs.replace(
        pulse,
        failures=0,
        reason="",
        last_success=now,
        outcomes=_remembered(pulse, failure=False, terms=terms),
        trips=0 if calm else pulse.trips,
        open_until=None,
        trial_until=None,
    )


def _fresh(pulse: Pulse, now: float, terms: BreakerTerms) -> bool:
    """Tell whether all that is remembered is good, as of a moment ago."""
    return (
        pulse.last_success is not None
        and 0 <= now - pulse.last_success < _FRESH
        and pulse.failures == 0
        and pulse.trips == 0
        and len(pulse.outcomes) == terms.window
        and True not in pulse.outcomes
        and pulse.open_until is None
        and pulse.trial_until is None
    )


def failed(pulse: Pulse, reason: str, now: float, *, jitter: float = 0.5, terms: BreakerTerms = TERMS) -> Pulse:
    """Return the pulse after a failure; ``jitter`` in 0..1 spreads the moments at which gateways try again."""
    state = pulse.state(now)
    noted = msgspec.structs.replace(
        pulse,
        failures=pulse.failures + 1,
        reason=reason[:500],
        last_failure=now,
        outcomes=_remembered(pulse, failure=True, terms=terms),
    )
    if state == "open" or (state == "closed" and not _trips(noted, terms)):
        return noted
    rest = min(terms.longest_rest, terms.first_rest * 2 ** min(pulse.trips, 30)) * (0.75 + 0.5 * jitter)
    return msgspec.structs.replace(noted, trips=pulse.trips + 1, outcomes=(), open_until=now + rest, trial_until=None)


def _trips(pulse: Pulse, terms: BreakerTerms) -> bool:
    if pulse.failures >= terms.failures:
        return True
    return len(pulse.outcomes) >= terms.window and sum(pulse.outcomes) >= terms.ratio * terms.window


def _remembered(pulse: Pulse, *, failure: bool, terms: BreakerTerms) -> tuple[bool, ...]:
    return (*pulse.outcomes, failure)[-terms.window :]
