"""The rules: which policies bind a charge, and whether what is asked for fits. Pure; time is an argument.

A charge is bound by the policies of its group and of all groups above it (every one of them must hold, as
Slurm enforces its ``Grp*`` limits), for the edge of each line and for all edges together.
"""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from quotas.errors import InvalidAmount
from quotas.model import EVERYONE, Charge, Explanation, Frozen, Line, Policy, Refusal

BUCKETS = 60
"""A window is counted in so many buckets: finer costs more, coarser gives back later."""

QUANTUM = 2.0**-20
"""Amounts are multiples of this (a power of two), so that sums and differences of them are exact."""

CACHED_BINDINGS = 65_536
"""How many (charge, resource, edge) are remembered with their policies, to bound the memory."""


class Fact(NamedTuple):
    """Whose use of what: what a ledger remembers of amounts, whatever the policies are."""

    group: str
    user: str
    resource: str
    edge: str


class Bound(msgspec.Struct, frozen=True, eq=False):
    """A policy with the holder whose account it limits."""

    policy: Policy
    holder: str
    key: tuple[str, str]
    """The account's name."""
    most: float
    """What may be taken, with the grain of a rate."""


def bound_to(policy: Policy, holder: str) -> Bound:
    """Bind a holder by a policy."""
    most = policy.amount + slack(policy)
    return Bound(policy=policy, holder=holder, key=(policy.name, holder), most=most)


class Bounds(NamedTuple):
    """The policies that bind a fact: all, and apart those that are rates and those that count leases."""

    all: tuple[Bound, ...] = ()
    rates: tuple[Bound, ...] = ()
    held: tuple[Bound, ...] = ()


_FREE = Bounds()


class Part(msgspec.Struct, frozen=True, gc=False):
    """An exact amount of a fact, with the policies that bind it."""

    fact: Fact
    amount: float
    bounds: Bounds


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
    """What stands in the way: of enforced policies, and of those in shadow mode."""

    violated: tuple[Explanation, ...] = ()
    shadow: tuple[Explanation, ...] = ()


def fact_of(charge: Charge, line: Line) -> Fact:
    """Name the fact that a line of a charge is about."""
    return Fact(charge.group, charge.user, line.resource, line.edge)


def exact(amount: float) -> float:
    """Round up to the quantum.

    Raises:
        InvalidAmount: the amount is negative or not finite.
    """
    if not (math.isfinite(amount) and amount >= 0):
        raise InvalidAmount(f"an amount must be a finite number, 0 or more; got {amount}")
    return math.ceil(amount / QUANTUM) * QUANTUM


def holder_of(policy: Policy, group: str, user: str | None) -> str | None:
    """Name the holder that a policy counts for a user of a group; None where it does not bind them."""
    inside = policy.group in (group, EVERYONE) or group.startswith(policy.group + "/")
    if not inside:
        return None
    if policy.applies == "group":
        return policy.group
    if policy.applies == "each-user":
        return f"{policy.group}/~{user}" if user is not None else None
    return _child(policy.group, group)


def _child(above: str, group: str) -> str | None:
    if above == EVERYONE:
        return group.partition("/")[0]
    below = group[len(above) + 1 :]
    return f"{above}/{below.partition('/')[0]}" if below else None


class PolicySet:
    """All policies, found by whom they bind. Immutable but for what it remembers to be quick.

    Raises:
        ValueError: two policies have the same name.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies = tuple(policies)
        self._by_resource: dict[str, list[Policy]] = {}
        names: set[str] = set()
        for policy in self.policies:
            if policy.name in names:
                raise ValueError(f"policy name {policy.name!r} is used twice")
            names.add(policy.name)
            self._by_resource.setdefault(policy.resource, []).append(policy)
        self._found: dict[tuple[str, str, str, str], tuple[Fact, Bounds]] = {}

    def bind(self, fact: Fact) -> Bounds:
        """Return the policies that bind a charge for a resource at an edge, each with its holder."""
        return self._find(fact)[1]

    def _find(self, place: tuple[str, str, str, str]) -> tuple[Fact, Bounds]:
        found = self._found.get(place)
        if found is None:
            if len(self._found) >= CACHED_BINDINGS:
                self._found.clear()
            fact = Fact(*place)
            found = self._found[place] = (fact, self._search(fact))
        return found

    def _search(self, fact: Fact) -> Bounds:
        found = tuple(self._matching(fact))
        if not found:
            return _FREE
        return Bounds(
            all=found,
            rates=tuple(bound for bound in found if bound.policy.kind == "rate"),
            held=tuple(bound for bound in found if bound.policy.kind != "rate"),
        )

    def _matching(self, fact: Fact) -> Iterable[Bound]:
        for policy in self._by_resource.get(fact.resource, ()):
            if policy.edge in (EVERYONE, fact.edge):
                holder = holder_of(policy, fact.group, fact.user)
                if holder is not None:
                    yield bound_to(policy, holder)

    def parts(self, charge: Charge, lines: Iterable[Line]) -> list[Part]:
        """Take the lines of a charge apart: what each is about, how much, and who limits it."""
        found = []
        for line in lines:
            fact, bounds = self._find((charge.group, charge.user, line.resource, line.edge))
            found.append(Part(fact, exact(line.amount), bounds))
        return found

    def windows(self) -> set[tuple[str, int]]:
        """Tell which (resource, window in seconds) are counted."""
        return {(policy.resource, policy.window_seconds) for policy in self.policies if policy.kind == "window"}


def demand_of(parts: Sequence[Part]) -> Iterable[tuple[Bound, float]]:
    """Sum up what the parts ask of each account: those at several edges meet in a policy for all."""
    if len(parts) == 1:
        (part,) = parts
        return [(bound, part.amount) for bound in part.bounds.all]
    asked: dict[tuple[str, str], tuple[Bound, float]] = {}
    for part in parts:
        for bound in part.bounds.all:
            before = asked.get(bound.key)
            asked[bound.key] = (bound, part.amount if before is None else before[1] + part.amount)
    return asked.values()


def evaluate(demand: Iterable[tuple[Bound, float]], snapshot: Snapshot, now: float) -> Verdict:
    """Judge a demand against all its policies; each that does not hold is explained, not only the first."""
    violated: list[Explanation] = []
    shadow: list[Explanation] = []
    for bound, amount in demand:
        taken = snapshot.taken(bound, now)
        if taken[0] + taken[1] + amount > bound.most and amount > 0:
            enforced = bound.policy.mode == "enforce"
            (violated if enforced else shadow).append(_explain(bound, amount, taken, snapshot, now))
    return Verdict(violated=tuple(violated), shadow=tuple(shadow)) if violated or shadow else _FITS


_FITS = Verdict()


def refusal(verdict: Verdict, now: float) -> Refusal | None:
    """Turn a verdict into an answer: None where only shadow policies, or none, stood in the way."""
    if not verdict.violated:
        return None
    times = [explanation.available_at for explanation in verdict.violated]
    known = [time for time in times if time is not None]
    wait = max(0.0, max(known) - now) if len(known) == len(times) else None
    return Refusal(violated=verdict.violated, retry_after=wait)


def slack(policy: Policy) -> float:
    """Return what rounding may add to a rate: counted in seconds since 1970, its grain is a microsecond."""
    return policy.amount * (1e-9 + 1e-6 / policy.window_seconds) if policy.kind == "rate" else 0.0


def _explain(bound: Bound, amount: float, taken: Taken, snapshot: Snapshot, now: float) -> Explanation:
    policy = bound.policy
    return Explanation(
        policy=policy.name,
        group=bound.holder,
        edge=policy.edge,
        resource=policy.resource,
        kind=policy.kind,
        limit=policy.amount,
        used=taken[0],
        reserved=taken[1],
        requested=amount,
        available_at=_available_at(bound, amount, taken, snapshot, now),
        contact=policy.contact,
    )


def _available_at(bound: Bound, amount: float, taken: Taken, snapshot: Snapshot, now: float) -> float | None:
    policy = bound.policy
    if amount > policy.amount:
        return None
    missing = sum(taken) + amount - policy.amount
    if policy.kind == "rate":
        return now + missing * seconds_each(policy)
    coming = list(snapshot.frees(bound, now))
    heapq.heapify(coming)
    while coming:
        at, freed = heapq.heappop(coming)
        missing -= freed
        if missing <= 0:
            return at
    return None


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
    return min(ahead, policy.amount) if policy.mode == "enforce" else ahead


def advance(policy: Policy, tat: float, now: float, amount: float) -> float:
    """Return a rate's theoretical arrival time after ``amount`` more (or, if negative, less) was taken."""
    if policy.amount == 0:
        return tat
    start = now + level(policy, tat, now) * seconds_each(policy)
    return max(start + amount * seconds_each(policy), now)


def bucket_of(window_seconds: int, at: float) -> int:
    """Return the number of the bucket of a window that a time falls into."""
    return math.floor(at * BUCKETS / window_seconds)


def bucket_frees_at(window_seconds: int, bucket: int) -> float:
    """Return when the last of a bucket is a whole window old, in epoch seconds: then it is free again."""
    return (bucket + 1 + BUCKETS) * window_seconds / BUCKETS


def shares(lines: Sequence[Line], actual: Mapping[str, float] | None) -> list[float]:
    """Return what was really used of each line, given what was used per resource (default: as reserved).

    Lines of one resource at several edges share its amount as they were reserved.

    Raises:
        InvalidAmount: an amount is no amount, or its resource was not reserved.
    """
    given = actual or {}
    totals: dict[str, float] = {}
    for line in lines:
        totals[line.resource] = totals.get(line.resource, 0.0) + line.amount
    for resource in given:
        if resource not in totals:
            raise InvalidAmount(f"{resource} was not reserved; the reservation has {', '.join(totals)}")
    return [_share(line, totals[line.resource], given, lines) for line in lines]


def _share(line: Line, total: float, given: Mapping[str, float], lines: Sequence[Line]) -> float:
    amount = given.get(line.resource)
    if amount is None:
        return exact(line.amount)
    if total > 0:
        return exact(amount if total == line.amount else amount * line.amount / total)
    return exact(amount / sum(other.resource == line.resource for other in lines))
