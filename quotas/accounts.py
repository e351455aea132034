"""The accounts: what is taken under each policy by each holder, kept up to date as charges come and go.

No I/O and no clock. The accounts follow from the facts (open leases, stock, windows) and can be built from
them at any time: they are what makes a decision quick, not where the truth is.
"""

from collections.abc import Iterable

from quotas.binding import Bound, Bounds, Fact, Part, PolicySet, holder_of
from quotas.model import Policy, Usage
from quotas.rates import advance, level
from quotas.rules import Taken
from quotas.windows import BUCKETS, bucket_frees_at, bucket_of

_MOST_GONE = 2 * BUCKETS
"""So many buckets that have come free are remembered, in case that the clock is set back."""

_NOTHING: Taken = (0.0, 0.0)


class Account:
    """One holder's account under one policy."""

    __slots__ = ("buckets", "gone", "held", "oldest", "reserved", "rolled_at", "tat", "used")

    def __init__(self) -> None:
        self.held: dict[str, tuple[float, float]] = {}
        """Open leases: key -> (expiry, amount); several lines of one lease are added up."""
        self.reserved = 0.0
        self.used = 0.0
        self.buckets: dict[int, float] = {}
        self.gone: dict[int, float] = {}
        """Buckets that have come free lately."""
        self.rolled_at = 0.0
        self.oldest = 0.0
        """When the oldest bucket comes free, in epoch seconds."""
        self.tat = 0.0

    def prolong(self, key: str, expires_at: float) -> None:
        """Change when a lease runs out."""
        _, amount = self.held[key]
        self.held[key] = (expires_at, amount)

    def drop(self, key: str) -> None:
        """Count a lease no more. Does nothing for an unknown one."""
        _, amount = self.held.pop(key, (0.0, 0.0))
        self.reserved -= amount

    def spend(self, span: int, bucket: int, amount: float) -> None:
        """Count what was used in a bucket of the window."""
        frees_at = bucket_frees_at(span, bucket)
        self.oldest = min(self.oldest, frees_at) if self.buckets else frees_at
        self.buckets[bucket] = self.buckets.get(bucket, 0.0) + amount
        self.used += amount

    def roll(self, span: int, now: float) -> None:
        """Give back the buckets that the window has left behind; take them back if the clock was set back."""
        if now < self.rolled_at and self.gone:
            self._take_back(span, now)
        self.rolled_at = now
        if not self.buckets or now < self.oldest:
            return
        for bucket in [b for b in self.buckets if bucket_frees_at(span, b) <= now]:
            amount = self.buckets.pop(bucket)
            self.used -= amount
            self.gone[bucket] = amount
        self.oldest = bucket_frees_at(span, min(self.buckets)) if self.buckets else 0.0
        while len(self.gone) > _MOST_GONE:
            del self.gone[min(self.gone)]

    def _take_back(self, span: int, now: float) -> None:
        for bucket in [b for b in self.gone if bucket_frees_at(span, b) > now]:
            self.spend(span, bucket, self.gone.pop(bucket))


class Accounts:
    """All accounts under one set of policies. Implements :class:`quotas.rules.Snapshot`."""

    def __init__(self, policies: PolicySet) -> None:
        self.policies = policies
        self._accounts: dict[tuple[str, str], Account] = {}

    def taken(self, bound: Bound, now: float) -> Taken:
        """Tell what is taken (see :class:`quotas.rules.Snapshot`)."""
        account = self._accounts.get(bound.key)
        if account is None:
            return _NOTHING
        policy = bound.policy
        if policy.kind == "rate":
            return level(policy, account.tat, now), 0.0
        if policy.kind == "window":
            account.roll(policy.span, now)
        return account.used, account.reserved

    def fit(self, part: Part, now: float) -> bool:
        """Tell quickly whether a part fits under each policy without grants and borrowing; if not, look closer."""
        amount = part.amount
        for bound in part.bounds.all:
            account = self._accounts.get(bound.key)
            if account is None:
                taken = 0.0
            elif bound.timed:
                taken = sum(self.taken(bound, now))
            else:
                taken = account.used + account.reserved
            if taken + amount > bound.most:
                return False
        return True

    def frees(self, bound: Bound, now: float) -> Iterable[tuple[float, float]]:
        """Tell what comes free by itself (see :class:`quotas.rules.Snapshot`)."""
        account = self._accounts.get(bound.key)
        if account is None:
            return
        yield from account.held.values()
        for bucket, amount in account.buckets.items():
            yield bucket_frees_at(bound.policy.span, bucket), amount

    def _account(self, bound: Bound) -> Account:
        account = self._accounts.get(bound.key)
        if account is None:
            account = self._accounts[bound.key] = Account()
        return account

    def hold(self, bounds: Bounds, key: str, expires_at: float, amount: float) -> None:
        """Count a reserved amount of a lease (of a rate it is counted by :meth:`take`)."""
        whole = (expires_at, amount)
        for bound in bounds.held:
            account = self._accounts.get(bound.key) or self._account(bound)
            held = account.held
            held[key] = whole if key not in held else (expires_at, held[key][1] + amount)
            account.reserved += amount

    def prolong(self, bounds: Bounds, key: str, expires_at: float) -> None:
        """Change when a lease runs out."""
        for bound in bounds.held:
            self._account(bound).prolong(key, expires_at)

    def drop(self, bounds: Bounds, key: str) -> None:
        """Count the lease no more."""
        for bound in bounds.held:
            self._account(bound).drop(key)

    def take(self, bounds: Bounds, amount: float, now: float) -> list[tuple[Bound, float]]:
        """Advance the rates by an amount (back, if it is negative); return each one's new arrival time."""
        changed = []
        for bound in bounds.rates:
            account = self._account(bound)
            account.tat = advance(bound.policy, account.tat, now, amount)
            changed.append((bound, account.tat))
        return changed

    def settle(self, fact: Fact, amount: float, now: float) -> None:
        """Count an amount as used: stocks and windows keep it."""
        for bound in self.policies.bind(fact).held:
            policy = bound.policy
            if policy.kind == "stock":
                self._account(bound).used += amount
            elif policy.kind == "window":
                self._account(bound).spend(policy.span, bucket_of(policy.span, now), amount)

    def stock(self, fact: Fact, amount: float) -> None:
        """Count stock only: found at the start, or (negative) given back."""
        for bound in self.policies.bind(fact).held:
            if bound.policy.kind == "stock":
                self._account(bound).used += amount

    def spent(self, fact: Fact, span: int, bucket: int, amount: float) -> None:
        """Count a bucket of a window that was found at the start."""
        for bound in self.policies.bind(fact).held:
            if bound.policy.kind == "window" and bound.policy.span == span:
                self._account(bound).spend(span, bucket, amount)

    def unspend(self, bounds: Bounds, amount: float, at: float) -> None:
        """Take back from the windows what was counted at a time, as far as they have not given it back."""
        for bound in bounds.held:
            account = self._account(bound)
            bucket = bucket_of(bound.policy.span, at) if bound.policy.kind == "window" else 0
            if bucket in account.buckets:
                account.spend(bound.policy.span, bucket, -amount)

    def arrive(self, key: tuple[str, str], tat: float) -> None:
        """Set a rate's arrival time that was found at the start."""
        self._accounts.setdefault(key, Account()).tat = tat

    def usage(self, groups: Iterable[str], user: str | None, now: float) -> list[Usage]:
        """Tell where each policy stands that binds these groups; without a user, for all users known."""
        asked = tuple(groups)
        bounds: dict[tuple[str, str], Bound] = {}
        for policy in self.policies.policies:
            for holder in self._holders(policy, asked, user, now):
                key = (policy.name, holder)
                bounds[key] = self.policies.bound_to(policy, holder)
        return [usage_of(bound, self.taken(bound, now), now) for bound in bounds.values()]

    def _holders(self, policy: Policy, groups: tuple[str, ...], user: str | None, now: float) -> Iterable[str]:
        for group in groups:
            holder = holder_of(policy, group, user)
            if holder is not None:
                yield holder
            elif policy.group == group:
                yield from sorted(self._taking(policy, now))

    def _taking(self, policy: Policy, now: float) -> Iterable[str]:
        known = [holder for name, holder in self._accounts if name == policy.name]
        return (holder for holder in known if any(self.taken(self.policies.bound_to(policy, holder), now)))


def usage_of(bound: Bound, taken: Taken, now: float) -> Usage:
    """Tell where a holder stands."""
    return Usage(
        policy=bound.policy,
        holder=bound.holder,
        edge=bound.policy.edge,
        used=taken[0],
        reserved=taken[1],
        granted=bound.granted(now),
    )
