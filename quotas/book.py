"""The book: open leases and what was used, and how each operation changes them. No I/O, no clock, no threads.

A store holds one book, applies operations to it, and writes the journal of their changes. An operation either
changes nothing (it refuses or raises) or leaves a complete record in the journal.
"""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from quotas.accounts import Accounts
from quotas.amounts import exact, shares
from quotas.binding import Bound, Fact, Part, PolicySet, covers, demand_of
from quotas.errors import InvalidAmount, KeyReused, LeaseLost, QuotaExceeded
from quotas.fairness import ENTRY_SECONDS, used_more
from quotas.journal import End, Ended, Journal, Share
from quotas.judging import Judge, Observer
from quotas.model import CONSUMED, Charge, Lease, Line, Refusal, Usage
from quotas.series import KEPT
from quotas.windows import bucket_of

SLICES = "slice/"
"""How the keys of leases begin that are slices: at their end, what is used up counts as used."""


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
        self.shares: dict[tuple[str, str], Share] = {}
        """What users used lately of what others wait for: (group, user) -> usage."""
        self.freed = True
        """Whether something came free since the line was looked through."""
        self.accounts = Accounts(policies)
        self.judge = Judge(self.accounts, observer)
        self._stock: dict[Fact, float] = {}
        self._reserved: dict[Fact, float] = {}
        self._expiries: list[tuple[float, str]] = []
        self._windows: dict[str, list[int]] = {}
        for resource, span in sorted(policies.spans()):
            self._windows.setdefault(resource, []).append(span)

    # What the store has found when it opens.

    def load_lease(self, lease: Lease) -> None:
        """Count an open lease. Its part in rates is told by :meth:`load_rate`."""
        for part in self.policies.parts(lease.charge, lease.lines):
            self._hold(lease, part)
        self._keep(lease)

    def unload_lease(self, key: str) -> None:
        """Count a lease no more that, as the store has found, has ended."""
        if (lease := self.leases.pop(key, None)) is not None:
            for part in self.policies.parts(lease.charge, lease.lines):
                self._unreserve(part)
                self.accounts.drop(part.bounds, key)

    def load_stock(self, fact: Fact, amount: float) -> None:
        """Count what was committed and not given back."""
        self.accounts.stock(fact, amount - self._stock.get(fact, 0.0))
        self._stock[fact] = amount

    def load_spent(self, fact: Fact, span: int, bucket: int, amount: float) -> None:
        """Count what was used in one bucket of a window."""
        self.accounts.spent(fact, span, bucket, amount)

    def load_rate(self, policy: str, holder: str, tat: float) -> None:
        """Set a rate's theoretical arrival time."""
        self.accounts.arrive((policy, holder), tat)

    def load_share(self, place: tuple[str, str], amount: float, at: float) -> None:
        """Set what a user of a group used lately of what others wait for."""
        self.shares[place] = Share(amount=amount, at=at)

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
        if key in self.leases or key in self.ended:
            known = self._known(key, charge, wanted)
            if known is not None:
                return known
        parts = self.parts(charge, wanted, ttl)
        asked = Asked(charge, wanted, ttl, why)
        if len(parts) == 1 and not self.judge.claimed and self.accounts.fit(parts[0], now):
            return self.open(now, key, asked, parts)
        refused, degraded = self.judge.judge(demand_of(parts), now)
        if refused is not None:
            return refused
        return self.open(now, key, asked, parts, degraded)

    def parts(self, charge: Charge, lines: Sequence[Line], ttl: float) -> list[Part]:
        """Take a reservation apart.

        Raises:
            InvalidAmount: there are no lines, or ``ttl`` is not more than 0.
        """
        if lines and 0 < ttl < math.inf:
            return self.policies.parts(charge, lines)
        raise InvalidAmount("a reservation needs a line or more, and a time to live of more than 0 seconds")

    def open(
        self, now: float, key: str, asked: "Asked", parts: Sequence[Part], degraded: tuple[str, ...] = ()
    ) -> Lease:
        """Open a lease that fits."""
        self.forget(key)
        self.fence += 1
        lease = Lease(
            key=key,
            charge=asked.charge,
            lines=asked.lines,
            fence=self.fence,
            expires_at=now + asked.ttl,
            degraded=degraded,
        )
        self.journal.opened[key] = lease
        for part in parts:
            before = self._taken(part.fact)
            self._enter(now, "reserve", key, part, (before, before + part.amount), asked.why)
            if part.bounds.rates:
                self._take(part, part.amount, now)
            self._hold(lease, part)
        self._keep(lease)
        if self.policies.queues:
            self._use(lease, parts, ENTRY_SECONDS, asked.ttl, now)
        return lease

    def known(self, key: str) -> Lease | None:
        """Return what a repeated reservation would get: the open lease, or the committed one."""
        lease = self.leases.get(key)
        if lease is None:
            ended = self.ended.get(key)
            return ended.lease if ended is not None and ended.how == "commit" else None
        return lease

    def _known(self, key: str, charge: Charge, lines: tuple[Line, ...]) -> Lease | None:
        lease = self.known(key)
        if lease is not None and (lease.charge != charge or lease.lines != lines):
            raise reused(key)
        return lease

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
        longer = now + ttl - lease.expires_at
        lease = msgspec.structs.replace(lease, fence=self.fence, expires_at=now + ttl)
        self.journal.opened[key] = lease
        self._keep(lease)
        parts = self.policies.parts(lease.charge, lease.lines)
        for part in parts:
            self.accounts.prolong(part.bounds, key, lease.expires_at)
        if self.policies.queues:
            self._use(lease, parts, 0.0, longer, now)
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
        if (refused := self.judge.refuse(self._surplus(lease, used), now)) is not None:
            raise QuotaExceeded(refused)
        self._end(lease, "commit", now, used)

    def _surplus(self, lease: Lease, used: Sequence[float]) -> list[tuple[Bound, float]]:
        parts = self.policies.parts(lease.charge, lease.lines)
        pairs = list(zip(parts, used, strict=True))
        if all(amount <= part.amount for part, amount in pairs):
            return []
        more = [Part(part.fact, amount - part.amount, part.bounds) for part, amount in pairs]
        return [(bound, amount) for bound, amount in demand_of(more) if _keeps(bound)]

    def release(self, now: float, key: str, why: str = "") -> None:
        """End a lease and give everything back; does nothing where it has ended."""
        if (lease := self.leases.get(key)) is not None:
            self._end(lease, "release", now, [0.0] * len(lease.lines), why)

    def expire(self, now: float) -> int:
        """End the leases whose time is over; return how many."""
        count = 0
        while self._expiries and self._expiries[0][0] <= now:
            _, key = heapq.heappop(self._expiries)
            lease = self.leases.get(key)
            if lease is not None and lease.expires_at <= now:
                self._expire(lease, now)
                count += 1
        return count

    def _expire(self, lease: Lease, now: float) -> None:
        if lease.key.startswith(SLICES):
            used = [exact(line.amount) if line.resource in CONSUMED else 0.0 for line in lease.lines]
        else:
            used = [0.0] * len(lease.lines)
        self._end(lease, "expire", now, used)

    def settle(self, now: float, lease: Lease) -> None:
        """End a lease as committed, with nothing used of it."""
        self._end(lease, "commit", now, [0.0] * len(lease.lines))

    def unspend(self, now: float, ended: Ended) -> None:
        """Take back what was presumed to be used of a slice at its end, which then counts as committed."""
        lease = ended.lease
        for part in self.policies.parts(lease.charge, lease.lines):
            if part.fact.resource in CONSUMED and part.amount > 0:
                before = self._taken(part.fact)
                self._enter(now, "give-back", lease.key, part, (before, before - part.amount), "settled later")
                self._unstock(part.fact, part.amount)
                for span in self._windows.get(part.fact.resource, ()):
                    self.journal.add_spent(part.fact, span, bucket_of(span, ended.at), -part.amount)
                self.accounts.unspend(part.bounds, part.amount, ended.at)
        self.journal.revived.append(lease.key)
        self.ended[lease.key] = self.journal.ended[lease.key] = Ended(lease=lease, how="commit", at=now)
        self.freed = True

    def forget(self, key: str) -> None:
        """Forget that a lease has ended, so that its key can be reserved again even if it was committed."""
        if self.ended.pop(key, None) is not None:
            self.journal.ended.pop(key, None)
            self.journal.revived.append(key)

    def give_back(self, now: float, charge: Charge, line: Line, key: str, why: str) -> None:
        """Return stock, at most as much as there is; does nothing where the key has been seen."""
        if key in self.returned:
            return
        (part,) = self.policies.parts(charge, [line])
        fact = part.fact
        stock = self._stock.get(fact, 0.0)
        amount = min(stock, part.amount)
        before = self._taken(fact)
        self._unstock(fact, amount)
        self.freed = True
        self.returned[key] = self.journal.returned[key] = now
        self._enter(now, "give-back", key, Part(part.fact, amount, part.bounds), (before, before - amount), why)

    def check(self, now: float, charge: Charge, lines: Iterable[Line]) -> Refusal | None:
        """Say what a reservation would answer."""
        return self.judge.check(demand_of(self.policies.parts(charge, lines)), now)

    def usage(self, now: float, groups: Sequence[str], user: str | None) -> list[Usage]:
        """Tell where the policies stand that bind these groups."""
        return self.accounts.usage(groups, user, now)

    def held(self, group: str, resource: str) -> dict[Fact, float]:
        """Tell what is held of a resource by a group and those below it: reserved, and kept (storage)."""
        kept = self._stock if resource in KEPT else {}
        facts = self._reserved.keys() | kept.keys()
        return {
            fact: self._reserved.get(fact, 0.0) + kept.get(fact, 0.0)
            for fact in facts
            if fact.resource == resource and covers(group, fact.group)
        }

    # The parts of the operations.

    def _hold(self, lease: Lease, part: Part) -> None:
        self._reserved[part.fact] = self._reserved.get(part.fact, 0.0) + part.amount
        self.accounts.hold(part.bounds, lease.key, lease.expires_at, part.amount)

    def _keep(self, lease: Lease) -> None:
        self.leases[lease.key] = lease
        heapq.heappush(self._expiries, (lease.expires_at, lease.key))
        if len(self._expiries) > 2 * len(self.leases) + 1_000:  # mostly leases that have ended early
            self._expiries = [(each.expires_at, key) for key, each in self.leases.items()]
            heapq.heapify(self._expiries)

    def _end(self, lease: Lease, how: End, now: float, used: Sequence[float], why: str = "") -> None:
        del self.leases[lease.key]
        self.freed = True
        self.journal.opened.pop(lease.key, None)
        self.ended[lease.key] = self.journal.ended[lease.key] = Ended(lease=lease, how=how, at=now)
        parts = self.policies.parts(lease.charge, lease.lines)
        for part, amount in zip(parts, used, strict=True):
            before = self._taken(part.fact)
            change = (before, before - part.amount + amount)
            event, told = how, part
            if how == "commit" or amount > 0:  # a slice that has run out is presumed to be used
                event, told = "commit", Part(part.fact, amount, part.bounds)
            self._enter(now, event, lease.key, told, change, why if event == how else "presumed: not settled in time")
            self._unreserve(part)
            self.accounts.drop(part.bounds, lease.key)
            if part.bounds.rates:
                self._take(part, amount - part.amount, now)
            if amount > 0:
                self._settle(part.fact, amount, now)
        if self.policies.queues:
            self._use(lease, parts, 0.0, min(0.0, now - lease.expires_at), now)

    def _use(self, lease: Lease, parts: Sequence[Part], entry: float, seconds: float, now: float) -> None:
        """Count for the fair order what is held of that which others may wait for, ahead until it ends."""
        most = 0.0
        for part in parts:
            for bound in part.bounds.queued:
                most = max(most, part.amount / bound.policy.amount)
        if most > 0:
            place = (lease.charge.group, lease.charge.user)
            more = entry + most * seconds
            self.shares[place] = self.journal.shares[place] = used_more(self.shares.get(place), more, now)

    def _unstock(self, fact: Fact, amount: float) -> None:
        self._stock[fact] = self.journal.stock[fact] = self._stock.get(fact, 0.0) - amount
        self.accounts.stock(fact, -amount)

    def _unreserve(self, part: Part) -> None:
        left = self._reserved.pop(part.fact, 0.0) - part.amount  # gone already where another line asked for nothing
        if left > 0:
            self._reserved[part.fact] = left

    def _settle(self, fact: Fact, amount: float, now: float) -> None:
        self._stock[fact] = self.journal.stock[fact] = self._stock.get(fact, 0.0) + amount
        self.accounts.settle(fact, amount, now)
        for span in self._windows.get(fact.resource, ()):
            self.journal.add_spent(fact, span, bucket_of(span, now), amount)

    def _take(self, part: Part, amount: float, now: float) -> None:
        if amount != 0:
            for bound, tat in self.accounts.take(part.bounds, amount, now):
                self.journal.rates[bound.key] = tat

    def _taken(self, fact: Fact) -> float:
        return self._reserved.get(fact, 0.0) + self._stock.get(fact, 0.0)

    def note(
        self,
        at: float,
        event: str,
        key: str,
        place: tuple[str, str, str, str],
        amounts: tuple[float, float, float],
        why: str,
    ) -> None:
        """Write the history: what about whom, the amount with before and after, and why."""
        self.seq += 1
        self.journal.entries.append((self.seq, at, event, key, *place, *amounts, why))

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


class Asked(NamedTuple):
    """What a reservation is for."""

    charge: Charge
    lines: tuple[Line, ...]
    ttl: float
    why: str


def reused(key: str) -> KeyReused:
    """Say that a key stands for something else."""
    return KeyReused(f"reservation {key!r} was made for something else, or for somebody else")
