"""How a site is, as a value and its transitions. Pure: the time comes from outside."""

import msgspec

from edges.model import Frozen, Health

TRIP_AFTER = 3
"""Failures in a row after which a site is left out until a probe succeeds."""


class Pulse(Frozen):
    """What is remembered of a site's answers."""

    failures: int = 0
    reason: str = ""
    last_success: float | None = None
    last_failure: float | None = None

    @property
    def available(self) -> bool:
        """Tell whether the site may be asked."""
        return self.failures < TRIP_AFTER

    def health(self) -> Health:
        """Say it as the other rooms know it."""
        if self.failures == 0:
            return Health(status="up" if self.last_success else "unknown", checked_at=self.last_success)
        return Health(
            status="degraded" if self.available else "down",
            reason=self.reason,
            checked_at=self.last_failure,
        )


def succeeded(pulse: Pulse, now: float) -> Pulse:
    """Return the pulse after an answer."""
    return msgspec.structs.replace(pulse, failures=0, reason="", last_success=now)


def failed(pulse: Pulse, reason: str, now: float) -> Pulse:
    """Return the pulse after a failure."""
    return msgspec.structs.replace(pulse, failures=pulse.failures + 1, reason=reason[:500], last_failure=now)
