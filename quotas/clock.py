"""Time for a ledger."""

import time
from collections.abc import Callable


def steady_clock() -> Callable[[], float]:
    """Return a clock of epoch seconds that nobody can set: now, carried on by the monotonic clock.

    A machine's clock that is stepped forward would end all leases at once, while what they stand for still
    runs.
    """
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()
