"""Which policies bind a charge, and whose account each of them counts. Pure.

A charge is bound by the policies of its group and of all groups above it (every one of them must hold, as
Slurm enforces its ``Grp*`` limits), for the edge of each line and for all edges together.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from quotas.amounts import exact
from quotas.errors import InvalidPolicies
from quotas.model import EVERYONE, Charge, Line, Policy
from quotas.rates import slack
from quotas.records import Grant

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
    """What may be taken without grants or borrowing, with the grain of a rate."""
    timed: bool = False
    """Whether what is taken comes free as time goes by: a rate, a window."""
    grants: tuple[Grant, ...] = ()
    lender: "Bound | None" = None
    """Where the holder borrows from: the account of a group above."""
    kept: tuple["Bound", ...] = ()
    """The accounts beside this one for which something is kept free."""

    def granted(self, now: float) -> float:
        """Return what temporary grants add to the limit now."""
        return sum(grant.amount for grant in self.grants if grant.expires_at > now)


class Bounds(NamedTuple):
    """The policies that bind a fact: all, and apart those that are rates, count leases, or let others wait."""

    all: tuple[Bound, ...] = ()
    rates: tuple[Bound, ...] = ()
    held: tuple[Bound, ...] = ()
    queued: tuple[Bound, ...] = ()


_FREE = Bounds()


class Part(msgspec.Struct, frozen=True, gc=False):
    """An exact amount of a fact, with the policies that bind it."""

    fact: Fact
    amount: float
    bounds: Bounds


def fact_of(charge: Charge, line: Line) -> Fact:
    """Name the fact that a line of a charge is about."""
    return Fact(charge.group, charge.user, line.resource, line.edge)


def covers(above: str, group: str) -> bool:
    """Tell whether a group is another one or below it (``*``: any is)."""
    return above in (group, EVERYONE) or group.startswith(above + "/")


def covers_edge(places: str, edge: str) -> bool:
    """Tell whether a policy's ``edge`` means this edge; ``*`` as an edge is none."""
    if places in (EVERYONE, edge):
        return True
    if edge == EVERYONE:
        return False
    return any(fnmatchcase(edge, place) for place in places.split(","))


def holder_of(policy: Policy, group: str, user: str | None) -> str | None:
    """Name the holder that a policy counts for a user of a group; None where it does not bind them."""
    if not covers(policy.group, group):
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
    """All policies and grants, found by whom they bind. Immutable but for what it remembers to be quick.

    Raises:
        InvalidPolicies: two policies have the same name, or one borrows where there is nothing to borrow from.
    """

    def __init__(self, policies: Iterable[Policy], grants: Iterable[Grant] = ()) -> None:
        self.policies = tuple(policies)
        self.grants = tuple(grants)
        self._by_resource: dict[str, list[Policy]] = {}
        names: set[str] = set()
        for policy in self.policies:
            if policy.name in names:
                raise InvalidPolicies(f"policy name {policy.name!r} is used twice")
            names.add(policy.name)
            self._by_resource.setdefault(policy.resource, []).append(policy)
        self._raised: dict[tuple[str, str], tuple[Grant, ...]] = {}
        for grant in self.grants:
            place = (grant.policy, grant.holder)
            self._raised[place] = (*self._raised.get(place, ()), grant)
        self.queues = any(policy.on_exceed == "queue" for policy in self.policies)
        """Whether anybody may have to wait in line."""
        self._lenders = {policy.name: self._lender(policy) for policy in self.policies if policy.borrow}
        self._found: dict[tuple[str, str, str, str], tuple[Fact, Bounds]] = {}
        self._bounds: dict[tuple[str, str], Bound] = {}

    # Borrowing.

    def _pool(self, policy: Policy) -> list[Policy]:
        """Return the policies that count the same for whole groups."""
        return [
            other
            for other in self._by_resource[policy.resource]
            if other.applies == "group"
            and other.refuses
            and (other.kind, other.edge, other.span) == (policy.kind, policy.edge, policy.span)
        ]

    def _lender(self, policy: Policy) -> Policy:
        own = policy.group if policy.applies != "group" else policy.group.rpartition("/")[0]
        above = [other for other in self._pool(policy) if other.name != policy.name and covers(other.group, own)]
        if not above:
            raise InvalidPolicies(
                f"policy {policy.name!r} borrows, but no policy of a group above limits {policy.resource} "
                f"({policy.kind}) at edge {policy.edge!r}"
            )
        return max(above, key=lambda other: (other.group != EVERYONE, len(other.group)))

    def _kept(self, policy: Policy, lender: Policy) -> tuple[Bound, ...]:
        """Return who has something kept free in what a lender has: not those above or below the borrower."""
        keeping = [
            other
            for other in self._pool(policy)
            if other.guaranteed > 0
            and other.group != lender.group
            and covers(lender.group, other.group)
            and not covers(other.group, policy.group)
            and not (policy.applies == "group" and covers(policy.group, other.group))
        ]
        tops = [o for o in keeping if not any(p.group != o.group and covers(p.group, o.group) for p in keeping)]
        return tuple(Bound(policy=top, holder=top.group, key=(top.name, top.group), most=top.amount) for top in tops)

    # Finding.

    def bound_to(self, policy: Policy, holder: str) -> Bound:
        """Bind a holder by one of these policies."""
        key = (policy.name, holder)
        bound = self._bounds.get(key)
        if bound is None:
            if len(self._bounds) >= CACHED_BINDINGS:
                self._bounds.clear()
            lender = self._lenders.get(policy.name)
            bound = self._bounds[key] = Bound(
                policy=policy,
                holder=holder,
                key=key,
                most=policy.amount + slack(policy),
                timed=policy.kind in ("rate", "window"),
                grants=self._raised.get(key, ()),
                lender=self.bound_to(lender, lender.group) if lender is not None else None,
                kept=self._kept(policy, lender) if lender is not None else (),
            )
        return bound

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
            queued=tuple(b for b in found if b.policy.on_exceed == "queue" and b.policy.amount > 0),
        )

    def _matching(self, fact: Fact) -> Iterable[Bound]:
        for policy in self._by_resource.get(fact.resource, ()):
            if covers_edge(policy.edge, fact.edge):
                holder = holder_of(policy, fact.group, fact.user)
                if holder is not None:
                    yield self.bound_to(policy, holder)

    def parts(self, charge: Charge, lines: Iterable[Line]) -> list[Part]:
        """Take the lines of a charge apart: what each is about, how much, and who limits it."""
        found = []
        for line in lines:
            fact, bounds = self._find((charge.group, charge.user, line.resource, line.edge))
            found.append(Part(fact, exact(line.amount), bounds))
        return found

    def spans(self) -> set[tuple[str, int]]:
        """Tell which (resource, span of a window) are counted."""
        return {(policy.resource, policy.span) for policy in self.policies if policy.kind == "window"}

    def weight(self, group: str) -> float:
        """Return the weight of a group in the line: that of the nearest group with a policy that has one."""
        own = [policy for policy in self.policies if policy.weight != 1 and covers(policy.group, group)]
        nearest = max(own, key=lambda policy: (policy.group != EVERYONE, len(policy.group)), default=None)
        return 1.0 if nearest is None else nearest.weight


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
