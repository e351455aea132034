"""Steps of time in which usage is told. Pure."""

import math

from quotas.errors import InvalidAmount

MAX_STEPS = 1_000
"""Most steps of time in one answer."""

KEPT = frozenset({"storage_bytes"})
"""The resources of which what was committed is held until it is given back."""


def check_steps(since: float, until: float, step: float) -> None:
    """Refuse what would be no answer, or too long a one.

    Raises:
        InvalidAmount: there are no steps, or more than :data:`MAX_STEPS`.
    """
    sound = all(map(math.isfinite, (since, until, step))) and step > 0 and since < until
    if not sound or (until - since) / step > MAX_STEPS:
        raise InvalidAmount(f"since must be before until, with 1 to {MAX_STEPS} steps between, got {step} s each")
