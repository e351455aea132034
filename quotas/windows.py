"""Windows: what was used, counted in buckets that come free when they are a window old. Pure.

A span is a window in seconds, in 60 buckets, or :data:`quotas.model.MONTH`: one bucket for each calendar month
(UTC), free at its end.
"""

import math
from datetime import UTC, datetime

from quotas.model import MONTH

BUCKETS = 60
"""A window is counted in so many buckets: finer costs more, coarser gives back later."""


def bucket_of(span: int, at: float) -> int:
    """Return the number of the bucket that a time (epoch seconds) falls into."""
    if span == MONTH:
        day = datetime.fromtimestamp(at, UTC)
        return day.year * 12 + day.month - 1
    return math.floor(at * BUCKETS / span)


def bucket_frees_at(span: int, bucket: int) -> float:
    """Return when the last of a bucket is a whole window old, in epoch seconds: then it is free again."""
    if span == MONTH:
        year, month = divmod(bucket + 1, 12)
        return datetime(year, month + 1, 1, tzinfo=UTC).timestamp()
    return (bucket + 1 + BUCKETS) * span / BUCKETS


def begins(span: int, now: float) -> float:
    """Return the earliest time that can still count at ``now``, in epoch seconds."""
    if span == MONTH:
        return bucket_frees_at(MONTH, bucket_of(MONTH, now) - 1)
    return now - span * (1 + 1 / BUCKETS)
