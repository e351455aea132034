"""The line of those who wait: who is admitted when something comes free. No I/O, no clock.

What is next in the fair order and does not fit claims what it waits for: nothing behind it, and nothing that
comes along, may take of that. What waits for something else is not held up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from quotas.binding import Bound, covers, demand_of
from quotas.book import Asked, Book, reused
from quotas.errors import InvalidAmount, LineFull, QuotaExceeded
from quotas.fairness import MAX_PRIORITY, MAX_WAITING, PLACE_SECONDS, in_order
from quotas.journal import Waiting
from quotas.model import Explanation, Lease
from quotas.records import Ticket
from quotas.rules import evaluate, explain, refusal

LOOK_SECONDS = 0.25
"""How often the line is looked through at least while somebody waits: windows and rates come free by time."""

Demand = Sequence[tuple[Bound, float]]
Wish = Callable[[Waiting], bool]


class Turns:
    """Those who wait for what a book has."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._line: dict[str, Waiting] = {}
        self._looked_at = float("-inf")

    def load(self, waiting: Waiting) -> None:
        """Take in somebody whom the store has found."""
        self._line[waiting.key] = waiting

    def drop(self, key: str) -> None:
        """Forget somebody who, as the store has found, waits no more."""
        self._line.pop(key, None)

    def line_up(self, now: float, key: str, asked: Asked, priority: float) -> Lease | Ticket:
        """Reserve, or take or keep a place (see :class:`quotas.ledger.WaitingLine`)."""
        if not 0 <= priority <= MAX_PRIORITY:
            raise InvalidAmount(f"priority must be within 0 and {MAX_PRIORITY:g} seconds, got {priority}")
        lease = self._book.known(key)
        before = self._line.get(key)
        for known in (lease, before):
            if known is not None and (known.charge, known.lines) != (asked.charge, asked.lines):
                raise reused(key)
        if lease is not None:
            return lease
        self._put(self._place(now, key, asked, priority) if before is None else before, now)
        self._book.freed = True
        self.admit(now)
        admitted = self._book.leases.get(key)
        return admitted if admitted is not None else self.tickets(now, lambda waiting: waiting.key == key)[0]

    def _place(self, now: float, key: str, asked: Asked, priority: float) -> Waiting:
        demand = demand_of(self._book.parts(asked.charge, asked.lines, asked.ttl))
        refused = refusal(evaluate(demand, self._book.accounts, now), now)
        if refused is not None and refused.never:
            raise QuotaExceeded(refused)
        if len(self._line) >= MAX_WAITING:
            raise LineFull(f"{MAX_WAITING} reservations are waiting already")
        return Waiting(
            key=key,
            charge=asked.charge,
            lines=asked.lines,
            ttl=asked.ttl,
            priority=priority,
            since=now,
            expires_at=now,
            why=asked.why,
        )

    def _put(self, waiting: Waiting, now: float) -> None:
        kept = msgspec.structs.replace(waiting, expires_at=now + PLACE_SECONDS)
        self._line[kept.key] = self._book.journal.waiting[kept.key] = kept

    def leave(self, key: str) -> None:
        """Give a place up."""
        if self._line.pop(key, None) is not None:
            self._book.journal.waiting[key] = None
            self._book.freed = True

    def admit(self, now: float) -> None:
        """Open the leases of those whose turn it is and who fit, and claim what the others wait for."""
        self._drop_served()
        looked_lately = 0 <= now - self._looked_at < LOOK_SECONDS
        nobody = not self._line and not self._book.judge.claimed
        if nobody or (looked_lately and not self._book.freed):
            return
        self._looked_at = now
        self._book.freed = False
        for key in [key for key, waiting in self._line.items() if waiting.expires_at <= now]:
            self.leave(key)
        claimed: dict[tuple[str, str], int] = {}
        for waiting, demand in self._in_order(now):
            self._claim(claimed, waiting, demand, now)
        self._book.judge.claimed = claimed

    def _drop_served(self) -> None:
        """Give up the places of those who got their lease in another way meanwhile: it must not be opened twice."""
        journal = self._book.journal
        for key in self._line.keys() & (journal.opened.keys() | journal.ended.keys()):
            if self._book.known(key) is not None:
                self.leave(key)

    def _claim(self, claimed: dict[tuple[str, str], int], waiting: Waiting, demand: Demand, now: float) -> None:
        book = self._book
        blocked = [bound.key for bound, amount in demand if bound.key in claimed and amount > 0]
        if not blocked:
            verdict = evaluate(demand, book.accounts, now)
            blocked = [(each.policy, each.group) for each in verdict.violated]
            if not blocked:
                asked = Asked(waiting.charge, waiting.lines, waiting.ttl, waiting.why)
                parts = book.policies.parts(waiting.charge, waiting.lines)
                degraded = tuple(each.policy for each in verdict.degraded)
                book.open(now, waiting.key, asked, parts, degraded)
                del self._line[waiting.key]
                book.journal.waiting[waiting.key] = None
                return
        for key in blocked:
            claimed[key] = claimed.get(key, 0) + 1

    def _in_order(self, now: float) -> Iterable[tuple[Waiting, Demand]]:
        policies = self._book.policies
        weights = {group: policies.weight(group) for group in {w.charge.group for w in self._line.values()}}
        for waiting in in_order(self._line.values(), self._book.shares, weights, now):
            yield waiting, list(demand_of(policies.parts(waiting.charge, waiting.lines)))

    # Telling.

    def tickets_of(self, now: float, groups: Sequence[str]) -> list[Ticket]:
        """List those who wait and whose charging group is one of these or below."""
        return self.tickets(now, lambda waiting: any(covers(group, waiting.charge.group) for group in groups))

    def tickets(self, now: float, wanted: Wish) -> list[Ticket]:
        """List those who wait and are wanted, in order, each with its place among those who wait for the same."""
        ahead: dict[tuple[str, str], tuple[int, float]] = {}
        found = []
        for waiting, demand in self._in_order(now):
            if wanted(waiting):
                found.append(self._ticket(waiting, demand, ahead, now))
            for bound, amount in demand:
                count, total = ahead.get(bound.key, (0, 0.0))
                ahead[bound.key] = (count + 1, total + amount)
        return found

    def _ticket(
        self, waiting: Waiting, demand: Demand, ahead: Mapping[tuple[str, str], tuple[int, float]], now: float
    ) -> Ticket:
        nobody = (0, 0.0)
        before = [ahead.get(bound.key, nobody) for bound, _ in demand]
        refusing = [(bound, amount, prior[1]) for (bound, amount), prior in zip(demand, before, strict=True)]
        return Ticket(
            key=waiting.key,
            charge=waiting.charge,
            lines=waiting.lines,
            position=1 + max((count for count, _ in before), default=0),
            since=waiting.since,
            expires_at=waiting.expires_at,
            expected_at=self._expected(refusing, now),
            waits_for=self._waits_for(demand, now),
        )

    def _waits_for(self, demand: Demand, now: float) -> tuple[Explanation, ...]:
        book = self._book
        violated = evaluate(demand, book.accounts, now).violated
        told = {(each.policy, each.group) for each in violated}
        claimed = [
            explain(bound, amount, book.accounts, now)
            for bound, amount in demand
            if bound.key in book.judge.claimed and bound.key not in told and amount > 0
        ]
        return (*violated, *(msgspec.structs.replace(each, admissible=0.0) for each in claimed))

    def _expected(self, demand: Iterable[tuple[Bound, float, float]], now: float) -> float | None:
        latest = now
        for bound, amount, prior in demand:
            asked = [(bound, amount + prior)]
            for each in evaluate(asked, self._book.accounts, now).violated:
                if each.available_at is None:
                    return None
                latest = max(latest, each.available_at)
        return latest
