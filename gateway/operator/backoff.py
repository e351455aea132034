"""How long to wait before something that failed is tried again. Pure."""

LONGEST_SECONDS = 300.0


def backoff(failures: int, *, jitter: float, first: float = 1.0, longest: float = LONGEST_SECONDS) -> float:
    """Return the pause after so many failures in a row, in seconds; ``jitter`` is within 0 and 1.

    It doubles each time; half of it is left to chance, so that many that failed together do not come together.
    """
    whole: float = min(longest, first * 2.0 ** min(max(failures, 1) - 1, 30))
    return whole * (0.5 + 0.5 * jitter)
