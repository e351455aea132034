"""Budgets as values: a token bucket for requests per second, and a share of the requests for what is extra. Pure.

The time comes from outside, in seconds of a clock that does not step.
"""

import math

from edges.model import Frozen


class Rate(Frozen):
    """How many requests a second a site takes, and how many of them at once after a pause."""

    per_second: float
    burst: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.per_second < math.inf and 1 <= self.burst < math.inf):
            raise ValueError("a rate needs per_second above 0, and a burst of 1 or more")


class Bucket(Frozen):
    """What is left of a rate: below zero where requests wait for their turn."""

    tokens: float
    at: float


def full(rate: Rate, now: float) -> Bucket:
    """Return a bucket that nothing was taken from."""
    return Bucket(tokens=max(1.0, rate.burst), at=now)


def taken(bucket: Bucket, rate: Rate, now: float, *, patience: float) -> tuple[Bucket, float | None]:
    """Take one request's token; return the bucket after it, and how many seconds the request has to wait.

    None in place of the wait: it would be longer than ``patience``, and nothing was taken.
    """
    filled = min(max(1.0, rate.burst), bucket.tokens + max(0.0, now - bucket.at) * rate.per_second)
    wait = max(0.0, (1.0 - filled) / rate.per_second)
    if wait > patience:
        return Bucket(tokens=filled, at=now), None
    return Bucket(tokens=filled - 1.0, at=now), wait


def given_back(bucket: Bucket) -> Bucket:
    """Return the bucket after a request that waited was given up."""
    return Bucket(tokens=bucket.tokens + 1.0, at=bucket.at)


class Share(Frozen):
    """What is extra (retries, hedges) as a share of the requests: each request earns ``part`` of one extra.

    ``credit`` never passes ``most``, so that a long quiet time allows no storm. A new share starts with ``most``.
    """

    part: float
    most: float
    credit: float


def share(part: float, most: float) -> Share:
    """Return a share that starts with what it may save up."""
    return Share(part=part, most=most, credit=most)


def earned(extra: Share) -> Share:
    """Return the share after one request."""
    return Share(part=extra.part, most=extra.most, credit=min(extra.most, extra.credit + extra.part))


def spent(extra: Share) -> Share | None:
    """Return the share after one extra request, or None where there is no credit for it."""
    if extra.credit < 1.0:
        return None
    return Share(part=extra.part, most=extra.most, credit=extra.credit - 1.0)
