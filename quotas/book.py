"""The book: open leases and what was used, and how each operation changes them. No I/O, no clock, no threads.

A store holds one book, applies operations to it, and writes the journal of their changes. An operation either
changes nothing (it refuses or raises) or leaves a complete record in the journal.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from quotas.accounts import Accounts
from quotas.errors import InvalidAmount, KeyReused, LeaseLost, QuotaExceeded
from quotas.model import Charge, Explanation, Frozen, Lease, Line, Refusal, Usage
from quotas.rules import Bound, Fact, Part, PolicySet, bucket_of, demand_of, evaluate, refusal, shares

End = Literal["commit", "release", "expire"]

Observer = Callable[[Explanation, bool], None]
"""Told of each refusal, and whether it was enforced (False: a shadow policy would have refused)."""


class Ended(Frozen):
    """A lease that has ended: how, and when (epoch seconds)."""

    lease: Lease
    how: End
    at: float


class Journal:
    """What changed since the last write, as the rows that a store must write, in this order.

    ``revived``: keys of ended leases that are forgotten. ``ended``: leases that are open no more. ``opened``:
    leases to be written as they are now. ``stock`` and ``rates``: new values. ``spent``: (fact, window in
    seconds, bucket) -> what is added.
    """

    def __init__(self) -> None:
        self.revived: list[str] = []
        self.ended: dict[str, Ended] = {}
        self.opened: dict[str, Lease] = {}
        self.returned: dict[str, float] = {}
        self.entries: list[tuple[object, ...]] = []
        self.stock: dict[Fact, float] = {}
        self.spent: dict[tuple[Fact, int, int], float] = {}
        self.rates: dict[tuple[str, str], float] = {}

    def __bool__(self) -> bool:
        return bool(self.opened or self.ended or self.entries or self.returned)


class Book:
    """The state of a ledger, and the operations on it. Every ``now`` is in epoch seconds."""

    def __init__(self, policies: PolicySet, *, seq: int = 0, fence: int = 0, observer: Observer | None = None) -> None:
        self.policies = policies
        self.journal = Journal()
        self.ended: dict[str, Ended] = {}
        """The ended leases that operations may meet; the store fills in those that it has."""
        self.returned: dict[str, float] = {}
        """The keys of what was given back, as ``ended``."""
        self.leases: dict[str, Lease] = {}
        self.seq = seq
        self.fence = fence
        self._accounts = Accounts(policies)
        self._stock: dict[Fact, float] = {}
        self._reserved: dict[Fact, float] = {}
        self._expiries: list[tuple[float, str]] = []
        self._windows: dict[str, list[int]] = {}
        for resource, seconds in sorted(policies.windows()):
            self._windows.setdefault(resource, []).append(seconds)
        self._observer = observer

    # What the store has found when it opens.

    def load_lease(self, lease: Lease) -> None:
        """Count an open lease. Its part in rates is told by :meth:`load_rate`."""
        for part in self.policies.parts(lease.charge, lease.lines):
            self._hold(lease, part)
        self._keep(lease)

    def load_stock(self, fact: Fact, amount: float) -> None:
        """Count what was committed and not given back."""
        self._stock[fact] = amount
        self._accounts.stock(fact, amount)

    def load_spent(self, fact: Fact, window_seconds: int, bucket: int, amount: float) -> None:
        """Count what was used in one bucket of a window."""
        self._accounts.spent(fact, window_seconds, bucket, amount)

    def load_rate(self, policy: str, holder: str, tat: float) -> None:
        """Set a rate's theoretical arrival time."""
        self._accounts.arrive((policy, holder), tat)

    # The operations.

    def reserve(
        self, now: float, key: str, charge: Charge, lines: Sequence[Line], ttl: float, why: str
    ) -> Lease | Refusal:
        """Open a lease, or tell why not (see :class:`quotas.ledger.Ledger`).

        Raises:
            InvalidAmount: there are no lines, or ``ttl`` is not more than 0.
            KeyReused: the key stands for something else.
        """
        wanted = tuple(lines)
        known = self._known(key, charge, wanted)
        if known is not None:
            return known
        if not wanted or not 0 < ttl < math.inf:
            raise InvalidAmount("a reservation needs a line or more, and a time to live of more than 0 seconds")
        parts = self.policies.parts(charge, wanted)
        refused = self._judge(demand_of(parts), now)
        if refused is not None:
            return refused
        if self.ended.pop(key, None) is not None:
            self.journal.ended.pop(key, None)
            self.journal.revived.append(key)
        self.fence += 1
        lease = Lease(key=key, charge=charge, lines=wanted, fence=self.fence, expires_at=now + ttl)
        self.journal.opened[key] = lease
        for part in parts:
            before = self._taken(part.fact)
            self._enter(now, "reserve", key, part, (before, before + part.amount), why)
            self._take(part, part.amount, now)
            self._hold(lease, part)
        self._keep(lease)
        return lease

    def _known(self, key: str, charge: Charge, lines: tuple[Line, ...]) -> Lease | None:
        lease = self.leases.get(key)
        if lease is None:
            ended = self.ended.get(key)
            if ended is None or ended.how != "commit":
                return None
            lease = ended.lease
        if lease.charge != charge or lease.lines != lines:
            raise KeyReused(f"reservation {key!r} was made for something else, or for somebody else")
        return lease

    def _judge(self, demand: Iterable[tuple[Bound, float]], now: float) -> Refusal | None:
        verdict = evaluate(demand, self._accounts, now)
        if self._observer is not None:
            for explanation in verdict.violated:
                self._observer(explanation, True)
            for explanation in verdict.shadow:
                self._observer(explanation, False)
        return refusal(verdict, now)

    def renew(self, now: float, key: str, ttl: float) -> Lease:
        """Extend a lease under a new fence.

        Raises:
            LeaseLost: it has ended.
            InvalidAmount: ``ttl`` is not more than 0.
        """
        lease = self.leases.get(key)
        if lease is None:
            raise self._lost(key)
        if not 0 < ttl < math.inf:
            raise InvalidAmount("a time to live must be more than 0 seconds")
        self.fence += 1
        lease = Lease(key=key, charge=lease.charge, lines=lease.lines, fence=self.fence, expires_at=now + ttl)
        self.journal.opened[key] = lease
        self._keep(lease)
        for part in self.policies.parts(lease.charge, lease.lines):
            self._accounts.prolong(part.bounds, key, lease.expires_at)
        return lease

    def commit(self, now: float, key: str, actual: Mapping[str, float] | None) -> None:
        """End a lease by what was really used.

        Raises:
            LeaseLost: it has expired, was released, or is unknown.
            QuotaExceeded: more was used than reserved, and the surplus does not fit; the lease stays open.
            InvalidAmount: ``actual`` names what was not reserved, or no amount.
        """
        lease = self.leases.get(key)
        if lease is None:
            if key in self.ended and self.ended[key].how == "commit":
                return
            raise self._lost(key)
        used = shares(lease.lines, actual)
        refused = self._judge(self._surplus(lease, used), now)
        if refused is not None:
            raise QuotaExceeded(refused)
        self._end(lease, "commit", now, used)

    def _surplus(self, lease: Lease, used: Sequence[float]) -> list[tuple[Bound, float]]:
        parts = self.policies.parts(lease.charge, lease.lines)
        pairs = list(zip(parts, used, strict=True))
        if all(amount <= part.amount for part, amount in pairs):
            return []
        more = [Part(part.fact, amount - part.amount, part.bounds) for part, amount in pairs]
        return [(bound, amount) for bound, amount in demand_of(more) if _keeps(bound)]

    def release(self, now: float, key: str) -> None:
        """End a lease and give everything back; does nothing where it has ended."""
        lease = self.leases.get(key)
        if lease is not None:
            self._end(lease, "release", now, [0.0] * len(lease.lines))

    def expire(self, now: float) -> int:
        """End the leases whose time is over; return how many."""
        count = 0
        while self._expiries and self._expiries[0][0] <= now:
            _, key = heapq.heappop(self._expiries)
            lease = self.leases.get(key)
            if lease is not None and lease.expires_at <= now:
                self._end(lease, "expire", now, [0.0] * len(lease.lines))
                count += 1
        return count

    def give_back(self, now: float, charge: Charge, line: Line, key: str, why: str) -> None:
        """Return stock, at most as much as there is; does nothing where the key has been seen."""
        if key in self.returned:
            return
        (part,) = self.policies.parts(charge, [line])
        fact = part.fact
        stock = self._stock.get(fact, 0.0)
        amount = min(stock, part.amount)
        before = self._taken(fact)
        self._stock[fact] = self.journal.stock[fact] = stock - amount
        self._accounts.stock(fact, -amount)
        self.returned[key] = self.journal.returned[key] = now
        self._enter(now, "give-back", key, Part(part.fact, amount, part.bounds), (before, before - amount), why)

    def check(self, now: float, charge: Charge, lines: Iterable[Line]) -> Refusal | None:
        """Say what a reservation would answer."""
        return refusal(evaluate(demand_of(self.policies.parts(charge, lines)), self._accounts, now), now)

    def usage(self, now: float, groups: Sequence[str], user: str | None) -> list[Usage]:
        """Tell where the policies stand that bind these groups."""
        return self._accounts.usage(groups, user, now)

    # The parts of the operations.

    def _hold(self, lease: Lease, part: Part) -> None:
        self._reserved[part.fact] = self._reserved.get(part.fact, 0.0) + part.amount
        self._accounts.hold(part.bounds, lease.key, lease.expires_at, part.amount)

    def _keep(self, lease: Lease) -> None:
        self.leases[lease.key] = lease
        self._watch(lease)

    def _watch(self, lease: Lease) -> None:
        heapq.heappush(self._expiries, (lease.expires_at, lease.key))
        if len(self._expiries) > 2 * len(self.leases) + 1_000:  # mostly leases that have ended early
            self._expiries = [(each.expires_at, key) for key, each in self.leases.items()]
            heapq.heapify(self._expiries)

    def _end(self, lease: Lease, how: End, now: float, used: Sequence[float]) -> None:
        del self.leases[lease.key]
        self.journal.opened.pop(lease.key, None)
        self.ended[lease.key] = self.journal.ended[lease.key] = Ended(lease=lease, how=how, at=now)
        for part, amount in zip(self.policies.parts(lease.charge, lease.lines), used, strict=True):
            before = self._taken(part.fact)
            change = (before, before - part.amount + amount)
            told = Part(part.fact, amount, part.bounds) if how == "commit" else part
            self._enter(now, how, lease.key, told, change, "")
            self._unreserve(part)
            self._accounts.drop(part.bounds, lease.key)
            self._take(part, amount - part.amount, now)
            if amount > 0:
                self._settle(part.fact, amount, now)

    def _unreserve(self, part: Part) -> None:
        left = self._reserved.pop(part.fact, 0.0) - part.amount  # gone already where another line asked for nothing
        if left > 0:
            self._reserved[part.fact] = left

    def _settle(self, fact: Fact, amount: float, now: float) -> None:
        self._stock[fact] = self.journal.stock[fact] = self._stock.get(fact, 0.0) + amount
        self._accounts.settle(fact, amount, now)
        for seconds in self._windows.get(fact.resource, ()):
            place = (fact, seconds, bucket_of(seconds, now))
            self.journal.spent[place] = self.journal.spent.get(place, 0.0) + amount

    def _take(self, part: Part, amount: float, now: float) -> None:
        if amount != 0 and part.bounds.rates:
            for bound, tat in self._accounts.take(part.bounds, amount, now):
                self.journal.rates[bound.key] = tat

    def _taken(self, fact: Fact) -> float:
        return self._reserved.get(fact, 0.0) + self._stock.get(fact, 0.0)

    def _enter(self, at: float, event: str, key: str, part: Part, change: tuple[float, float], why: str) -> None:
        self.seq += 1
        self.journal.entries.append((self.seq, at, event, key, *part.fact, part.amount, *change, why))

    def _lost(self, key: str) -> LeaseLost:
        ended = self.ended.get(key)
        how = f"has ended ({ended.how})" if ended is not None else "is unknown"
        return LeaseLost(f"reservation {key!r} {how}")


def _keeps(bound: Bound) -> bool:
    """Whether what was used goes on counting after the lease."""
    return bound.policy.kind != "concurrent"
