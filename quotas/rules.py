"""The rules: whether what is asked for fits, and why not. Pure; time is an argument."""

import heapq
import math
from collections.abc import Iterable
from typing import Protocol

from quotas.binding import Bound
from quotas.model import Explanation, Frozen, Refusal
from quotas.rates import seconds_each

Taken = tuple[float, float]
"""What is taken of one account: used, reserved."""


class Snapshot(Protocol):
    """The accounts at one moment."""

    def taken(self, bound: Bound, now: float) -> Taken:
        """Tell what is taken. Of a rate: how much of the burst is used up, as ``used``."""
        ...

    def frees(self, bound: Bound, now: float) -> Iterable[tuple[float, float]]:
        """Tell when (epoch seconds) how much comes free by itself, in any order. Not asked for rates."""
        ...


class Verdict(Frozen):
    """What stands in the way: of policies that refuse, of those that degrade, and of those in shadow mode."""

    violated: tuple[Explanation, ...] = ()
    degraded: tuple[Explanation, ...] = ()
    shadow: tuple[Explanation, ...] = ()


FITS = Verdict()
"""Nothing stands in the way. It is this very object then."""


def evaluate(demand: Iterable[tuple[Bound, float]], snapshot: Snapshot, now: float) -> Verdict:
    """Judge a demand against all its policies; each that does not hold is explained, not only the first."""
    over: list[tuple[Bound, Explanation]] = []
    for bound, amount in demand:
        taken = snapshot.taken(bound, now)
        total = taken[0] + taken[1] + amount
        if total > bound.most and amount > 0:
            room = _Room(bound, taken, snapshot, now)
            if total > room.most:
                over.append((bound, room.explain(amount)))
    return _sorted(over) if over else FITS


def _sorted(over: Iterable[tuple[Bound, Explanation]]) -> Verdict:
    violated, degraded, shadow = [], [], []
    for bound, explanation in over:
        if bound.policy.mode == "shadow":
            shadow.append(explanation)
        elif bound.policy.on_exceed == "degrade":
            degraded.append(explanation)
        else:
            violated.append(explanation)
    return Verdict(violated=tuple(violated), degraded=tuple(degraded), shadow=tuple(shadow))


def explain(bound: Bound, amount: float, snapshot: Snapshot, now: float) -> Explanation:
    """Say in numbers how an amount stands to one policy, whether or not it fits."""
    return _Room(bound, snapshot.taken(bound, now), snapshot, now).explain(amount)


def refusal(verdict: Verdict, now: float) -> Refusal | None:
    """Turn a verdict into an answer: None where nothing that refuses stood in the way."""
    if not verdict.violated:
        return None
    times = [explanation.available_at for explanation in verdict.violated]
    known = [time for time in times if time is not None]
    wait = max(0.0, max(known) - now) if len(known) == len(times) else None
    return Refusal(violated=verdict.violated, retry_after=wait)


class _Room:
    """What one holder may take in all now: its own, what was granted for a time, and what it may borrow."""

    def __init__(self, bound: Bound, taken: Taken, snapshot: Snapshot, now: float) -> None:
        self._bound = bound
        self._taken = taken
        self._snapshot = snapshot
        self._now = now
        self._own = bound.most + bound.granted(now)
        self._reach = self._own + bound.policy.borrow
        left = self._lent(bound.lender) if bound.lender is not None else 0.0
        self.most = max(self._own, min(self._reach, sum(taken) + left))

    def _lent(self, lender: Bound) -> float:
        """Return what the group above has left, without what it keeps for others."""
        left = lender.most + lender.granted(self._now) - sum(self._snapshot.taken(lender, self._now))
        for other in self._bound.kept:
            left -= max(0.0, other.policy.guaranteed - sum(self._snapshot.taken(other, self._now)))
        return max(0.0, left)

    def explain(self, amount: float) -> Explanation:
        """Say why an amount does not fit."""
        policy = self._bound.policy
        return Explanation(
            policy=policy.name,
            group=self._bound.holder,
            edge=policy.edge,
            resource=policy.resource,
            kind=policy.kind,
            limit=self._limit(),
            used=self._taken[0],
            reserved=self._taken[1],
            requested=amount,
            available_at=self._available_at(amount),
            contact=policy.contact,
            on_exceed=policy.on_exceed,
            admissible=max(0.0, self.most - sum(self._taken)),
        )

    def _limit(self) -> float:
        return self._bound.policy.amount + self._bound.granted(self._now) + self._bound.policy.borrow

    def _available_at(self, amount: float) -> float | None:
        policy = self._bound.policy
        if amount > self._limit():
            return None
        if policy.kind == "rate":
            return self._now + (sum(self._taken) + amount - policy.amount) * seconds_each(policy)
        if self.most < self._reach and self._bound.lender is not None:
            # the group above is the bottleneck: what comes free there, for whomever, can be borrowed
            return self._freed(self._bound.lender, sum(self._taken) + amount - self.most)
        return self._freed(self._bound, sum(self._taken) + amount - self._reach)

    def _freed(self, bound: Bound, missing: float) -> float | None:
        coming = list(self._snapshot.frees(bound, self._now))
        heapq.heapify(coming)
        while coming:
            at, freed = heapq.heappop(coming)
            missing -= freed
            if missing <= 0:
                return at if at < math.inf else None
        return None
