"""Rates: the generic cell rate algorithm (GCRA, ITU-T I.371). Pure; times are in epoch seconds."""

import math

from quotas.model import Policy


def slack(policy: Policy) -> float:
    """Return what rounding may add to a rate: counted in seconds since 1970, its grain is a microsecond."""
    return policy.amount * (1e-9 + 1e-6 / policy.window_seconds) if policy.kind == "rate" else 0.0


def seconds_each(policy: Policy) -> float:
    """Return how long a rate takes to give one unit back, in seconds (GCRA's emission interval)."""
    return policy.window_seconds / policy.amount if policy.amount > 0 else math.inf


def level(policy: Policy, tat: float, now: float) -> float:
    """Return how much of a rate's burst is used up.

    ``tat`` is GCRA's theoretical arrival time (ITU-T I.371), in epoch seconds. Of an enforced policy it
    cannot be more than a window ahead, unless the clock went back: then the window is as far as we believe
    it.
    """
    if tat <= now or policy.amount == 0:
        return 0.0
    ahead = (tat - now) / seconds_each(policy)
    return min(ahead, policy.amount) if policy.refuses else ahead


def advance(policy: Policy, tat: float, now: float, amount: float) -> float:
    """Return a rate's theoretical arrival time after ``amount`` more (or, if negative, less) was taken."""
    if policy.amount == 0:
        return tat
    start = now + level(policy, tat, now) * seconds_each(policy)
    return max(start + amount * seconds_each(policy), now)
