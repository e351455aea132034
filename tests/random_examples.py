"""How many random examples the property tests try: few by default, ``LAKEGATE_EXAMPLES`` times as many where asked."""

import os

from hypothesis import HealthCheck, settings

TIMES = float(os.environ.get("LAKEGATE_EXAMPLES", "1"))


def examples(count: int, *, slow: bool = False) -> settings:
    """Return the settings of a property test of so many examples.

    ``slow``: each asks real servers, or the machine may be busy.
    """
    allowed = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture] if slow else []
    return settings(max_examples=max(1, int(count * TIMES)), deadline=None, suppress_health_check=allowed)
