"""A ledger in memory, for tests only: small, obvious and slow. It forgets all when it ends.

It takes reservations and tells usage and history; policies of administrators, the line, slices and reconciliation are
for the stores that last (:class:`quotas.ledger.FullLedger`).

It keeps what happened in plain lists, and adds it all up again for each question. Nothing is counted ahead,
so there is nothing that could be counted wrongly: the other stores are tested against it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import msgspec

from quotas.accounts import usage_of
from quotas.amounts import exact, shares
from quotas.binding import Bound, Fact, PolicySet, covers, demand_of, fact_of, holder_of
from quotas.clock import steady_clock
from quotas.errors import InvalidAmount, KeyReused, LeaseLost, QuotaExceeded
from quotas.journal import End, Ended
from quotas.model import Charge, Entry, Frozen, Lease, Line, Policy, Refusal, Usage
from quotas.office import CONFIGURATION, differences
from quotas.rates import advance, level
from quotas.records import Observed, Reconciled, Wanted, is_wanted
from quotas.rules import Taken, evaluate, refusal
from quotas.windows import bucket_frees_at, bucket_of


class _Event(Frozen):
    """Something that happened to an amount: reserved, used (committed), undone (given up), returned."""

    at: float
    fact: tuple[str, str, str, str]
    reserved: float = 0.0
    used: float = 0.0
    returned: float = 0.0
    taken_from_rate: float = 0.0


class MemoryLedger:
    """A :class:`quotas.ledger.Ledger` that adds up its events for each question."""

    def __init__(self, policies: Iterable[Policy], *, clock: Callable[[], float] | None = None) -> None:
        self._policies = _by_name(policies)
        self._clock = clock or steady_clock()
        self._rates_since = {policy.name: 0 for policy in self._policies.policies}
        self._events: list[_Event] = []
        self._entries: list[Entry] = []
        self._open: dict[str, Lease] = {}
        self._ended: dict[str, Ended] = {}
        self._returned: set[str] = set()
        self._fence = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    # Adding up.

    def _bound_to(self, fact: tuple[str, str, str, str], bound: Bound) -> bool:
        return any(other.key == bound.key for other in self._policies.bind(Fact(*fact)).all)

    def _events_of(self, bound: Bound) -> list[_Event]:
        return [event for event in self._events if self._bound_to(event.fact, bound)]

    def taken(self, bound: Bound, now: float) -> Taken:
        """Add up what is taken (see :class:`quotas.rules.Snapshot`)."""
        policy = bound.policy
        if policy.kind == "rate":
            return level(policy, self._tat(bound), now), 0.0
        reserved = sum(event.reserved for event in self._events_of(bound))
        if policy.kind == "stock":
            return sum(event.used - event.returned for event in self._events_of(bound)), reserved
        used = sum(amount for frees_at, amount in self._window(bound) if frees_at > now)
        return used, reserved

    def _window(self, bound: Bound) -> list[tuple[float, float]]:
        span = bound.policy.span
        if bound.policy.kind != "window":
            return []
        return [
            (bucket_frees_at(span, bucket_of(span, event.at)), event.used)
            for event in self._events_of(bound)
            if event.used
        ]

    def _tat(self, bound: Bound) -> float:
        tat = 0.0
        for event in self._events[self._rates_since[bound.policy.name] :]:
            if event.taken_from_rate and self._bound_to(event.fact, bound):
                tat = advance(bound.policy, tat, event.at, event.taken_from_rate)
        return tat

    def frees(self, bound: Bound, now: float) -> Iterable[tuple[float, float]]:
        """Tell what comes free by itself (see :class:`quotas.rules.Snapshot`)."""
        yield from ((frees_at, amount) for frees_at, amount in self._window(bound) if frees_at > now)
        for lease in self._open.values():
            for line in lease.lines:
                if self._bound_to(fact_of(lease.charge, line), bound):
                    yield lease.expires_at, exact(line.amount)

    def _fact_taken(self, fact: Fact) -> float:
        return sum(event.reserved + event.used - event.returned for event in self._events if event.fact == fact)

    # The seam.

    def binds(self, charge: Charge, lines: Iterable[Line]) -> tuple[Policy, ...]:
        """Tell which policies bind these lines (see :class:`quotas.ledger.Ledger`)."""
        return tuple(bound.policy for line in lines for bound in self._policies.bind(fact_of(charge, line)).all)

    async def reserve(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        known = self._open.get(key)
        if known is None and key in self._ended and self._ended[key].how == "commit":
            known = self._ended[key].lease
        if known is not None:
            if (known.charge, known.lines) != (charge, tuple(lines)):
                raise KeyReused(key)
            return known
        if not lines or not 0 < ttl < float("inf"):
            raise InvalidAmount("no lines, or no time to live")
        verdict = evaluate(demand_of(self._policies.parts(charge, lines)), self, now)
        refused = refusal(verdict, now)
        if refused is not None:
            return refused
        self._ended.pop(key, None)
        lease = self._leased(key, charge, tuple(lines), now + ttl)
        if verdict.degraded:
            names = tuple(each.policy for each in verdict.degraded)
            lease = self._open[key] = msgspec.structs.replace(lease, degraded=names)
        for line in lines:
            amount = exact(line.amount)
            event = _Event(at=now, fact=fact_of(charge, line), reserved=amount, taken_from_rate=amount)
            self._happen("reserve", key, event, amount, why)
        return lease

    def _leased(self, key: str, charge: Charge, lines: tuple[Line, ...], expires_at: float) -> Lease:
        self._fence += 1
        lease = self._open[key] = Lease(key=key, charge=charge, lines=lines, fence=self._fence, expires_at=expires_at)
        return lease

    async def renew(self, key: str, *, ttl: float) -> Lease:
        """Extend a lease (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        lease = self._open.get(key)
        if lease is None:
            raise LeaseLost(key)
        if not 0 < ttl < float("inf"):
            raise InvalidAmount("no time to live")
        renewed = self._leased(key, lease.charge, lease.lines, now + ttl)
        self._open[key] = msgspec.structs.replace(renewed, degraded=lease.degraded)
        return self._open[key]

    async def commit(self, key: str, actual: Mapping[str, float] | None = None) -> None:
        """End a lease by what was used (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        lease = self._open.get(key)
        if lease is None:
            if key in self._ended and self._ended[key].how == "commit":
                return
            raise LeaseLost(key)
        used = shares(lease.lines, actual)
        refused = refusal(evaluate(self._surplus(lease, used), self, now), now)
        if refused is not None:
            raise QuotaExceeded(refused)
        self._end(lease, "commit", now, used)

    def _surplus(self, lease: Lease, used: Sequence[float]) -> list[tuple[Bound, float]]:
        more: dict[tuple[str, str], tuple[Bound, float]] = {}
        for line, amount in zip(lease.lines, used, strict=True):
            for bound in self._policies.bind(fact_of(lease.charge, line)).all:
                if bound.policy.kind != "concurrent":
                    _, before = more.get(bound.key, (bound, 0.0))
                    more[bound.key] = (bound, before + amount - exact(line.amount))
        return list(more.values())

    async def release(self, key: str) -> None:
        """End a lease unused (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        if key in self._open:
            self._end(self._open[key], "release", now, [0.0] * len(self._open[key].lines))

    async def give_back(self, charge: Charge, line: Line, *, key: str, why: str) -> None:
        """Return stock (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        if key in self._returned:
            return
        fact = fact_of(charge, line)
        stock = sum(event.used - event.returned for event in self._events if event.fact == fact)
        amount = min(stock, exact(line.amount))
        self._returned.add(key)
        self._happen("give-back", key, _Event(at=now, fact=fact, returned=amount), amount, why)

    async def reconcile(self, prefix: str, observed: Sequence[Observed], *, ttl: float, grace: float) -> Reconciled:
        """Make the leases say what runs (see :class:`quotas.ledger.Adjustments`)."""
        held: list[Lease] = []
        adopted: list[Lease] = []
        refused: list[tuple[str, Refusal]] = []
        for each in observed:
            before = self._open.get(each.key)
            if before is not None and (before.charge, before.lines) == (each.charge, each.lines):
                held.append(await self.renew(each.key, ttl=ttl))
                continue
            await self.release(each.key)
            self._ended.pop(each.key, None)
            answer = await self.reserve(each.key, each.charge, each.lines, ttl=ttl, why="found running")
            if isinstance(answer, Lease):
                adopted.append(answer)
                continue
            refused.append((each.key, answer))
            if before is not None:
                await self.reserve(each.key, before.charge, before.lines, ttl=ttl, why="found running otherwise")
        running, until = {each.key for each in observed}, self._now() + ttl - grace
        leases = await self.leases(prefix)
        over = tuple(lease.key for lease in leases if lease.key not in running and lease.expires_at <= until)
        for key in over:
            await self.release(key)
        return Reconciled(held=tuple(held), adopted=tuple(adopted), released=over, refused=tuple(refused))

    async def usage(self, groups: Sequence[str], user: str | None = None) -> list[Usage]:
        """Tell where policies stand (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        told: dict[tuple[str, str], Usage] = {}
        for policy in self._policies.policies:
            for holder in self._holders(policy, groups, user, now):
                key = (policy.name, holder)
                bound = self._policies.bound_to(policy, holder)
                told[key] = usage_of(bound, self.taken(bound, now), now)
        return list(told.values())

    def _holders(self, policy: Policy, groups: Sequence[str], user: str | None, now: float) -> Iterable[str]:
        for group in groups:
            holder = holder_of(policy, group, user)
            if holder is not None:
                yield holder
            elif policy.group == group:
                bounds = (bound for event in self._events for bound in self._policies.bind(Fact(*event.fact)).all)
                known = {bound.key: bound for bound in bounds if bound.policy is policy}
                yield from sorted(bound.holder for bound in known.values() if any(self.taken(bound, now)))

    async def check(self, charge: Charge, lines: Sequence[Line]) -> Refusal | None:
        """Say what a reservation would answer (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        return refusal(evaluate(demand_of(self._policies.parts(charge, lines)), self, now), now)

    async def leases(self, prefix: str = "") -> list[Lease]:
        """List the open leases (see :class:`quotas.ledger.Ledger`)."""
        self._now()
        return [lease for key, lease in sorted(self._open.items()) if key.startswith(prefix)]

    async def history(
        self, group: str, *, after: int = 0, limit: int = 100, wanted: Wanted | None = None
    ) -> list[Entry]:
        """Read the history (see :class:`quotas.ledger.Ledger`)."""
        inside = (entry for entry in self._entries if covers(group, entry.group) and entry.seq > after)
        return [entry for entry in inside if wanted is None or is_wanted(entry, wanted)][:limit]

    async def expire(self) -> int:
        """End the leases whose time is over (see :class:`quotas.ledger.Ledger`)."""
        before = len(self._open)
        self._now()
        return before - len(self._open)

    async def set_policies(self, policies: Iterable[Policy]) -> None:
        """Replace all policies (see :class:`quotas.ledger.Ledger`)."""
        now = self._now()
        new = _by_name(policies)
        old = {policy.name: policy for policy in self._policies.policies}
        self._rates_since = {
            policy.name: self._rates_since[policy.name]
            if _same_rate(policy, old.get(policy.name))
            else len(self._events)
            for policy in new.policies
        }
        if self._policies.policies or self._entries:
            for change in differences(self._policies.policies, new.policies):
                self._note(now, *change)
        self._policies = new

    def _note(self, now: float, policy: Policy, was: float, became: float) -> None:
        self._entries.append(
            Entry(
                seq=len(self._entries) + 1,
                at=now,
                event="policy",
                key=policy.name,
                group=policy.group,
                user=CONFIGURATION,
                resource=policy.resource,
                edge=policy.edge,
                amount=became,
                before=was,
                after=became,
                why="the configuration changed",
            )
        )

    # What happens.

    def _now(self) -> float:
        now = self._clock()
        over = sorted((lease.expires_at, key) for key, lease in self._open.items() if lease.expires_at <= now)
        for _, key in over:
            self._end(self._open[key], "expire", now, [0.0] * len(self._open[key].lines))
        return now

    def _end(self, lease: Lease, how: End, now: float, used: Sequence[float]) -> None:
        del self._open[lease.key]
        self._ended[lease.key] = Ended(lease=lease, how=how, at=now)
        for line, amount in zip(lease.lines, used, strict=True):
            reserved = exact(line.amount)
            fact = fact_of(lease.charge, line)
            event = _Event(at=now, fact=fact, reserved=-reserved, used=amount, taken_from_rate=amount - reserved)
            self._happen(how, lease.key, event, amount if how == "commit" else reserved, "")

    def _happen(self, what: str, key: str, event: _Event, amount: float, why: str) -> None:
        fact = Fact(*event.fact)
        before = self._fact_taken(fact)
        self._events.append(event)
        self._entries.append(
            Entry(
                seq=len(self._entries) + 1,
                at=event.at,
                event=what,
                key=key,
                group=fact.group,
                user=fact.user,
                resource=fact.resource,
                edge=fact.edge,
                amount=amount,
                before=before,
                after=self._fact_taken(fact),
                why=why,
            )
        )


def _by_name(policies: Iterable[Policy]) -> PolicySet:
    return PolicySet(sorted(policies, key=lambda policy: policy.name))


def _same_rate(new: Policy, old: Policy | None) -> bool:
    def parts(policy: Policy) -> tuple[object, ...]:
        return (
            policy.group,
            policy.applies,
            policy.edge,
            policy.resource,
            policy.amount,
            policy.span,
        )

    return old is not None and parts(new) == parts(old)
