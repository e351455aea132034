"""The seams of the ledger: what every store guarantees. A caller asks for the verbs that it needs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from quotas.model import Charge, Entry, Lease, Line, Policy, Refusal, Usage
from quotas.records import (
    Grant,
    Observed,
    Reconciled,
    Slice,
    Spent,
    StoredPolicy,
    Ticket,
    UsagePoint,
    Wanted,
)
from quotas.replay import Replayed


class Ledger(Protocol):
    """Reservations against policies.

    Guarantees, in every store: a reservation is granted for all its lines and all groups up to the root, or
    not at all; ``0 <= used + reserved <= limit`` holds for enforced policies at each moment (but where a
    limit was lowered below what is taken: then nothing more is granted); each call is idempotent by ``key``;
    a lease that is neither renewed, committed nor released ends at its expiry; what is granted is durable
    when the call returns; if the store cannot be written, :class:`quotas.errors.LedgerUnavailable` is raised
    and nothing is granted (fail closed).

    A cancelled call may have taken effect: ``release`` is safe in any case.
    """

    def binds(self, charge: Charge, lines: Iterable[Line]) -> tuple[Policy, ...]:
        """Tell which policies bind these lines, without I/O: where none do, nothing need be reserved."""
        ...

    async def reserve(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve all lines for ``ttl`` seconds, or tell why not.

        A repeated key returns the same lease; after ``commit`` it returns the lease that has ended, and
        charges nothing again; after ``release`` or expiry it reserves anew, under a higher fence.

        Raises:
            KeyReused: the key was used for other lines or by another charge.
            InvalidAmount: there are no lines, or ``ttl`` is not more than 0.
        """
        ...

    async def renew(self, key: str, *, ttl: float) -> Lease:
        """Extend a lease; raise :class:`quotas.errors.LeaseLost` if it has ended."""
        ...

    async def commit(self, key: str, actual: Mapping[str, float] | None = None) -> None:
        """End a lease by what was really used, per resource (default: as reserved).

        Windows and stocks keep the actual amount as used, rates are corrected by the difference; concurrent
        amounts are given back. Committing twice changes nothing.

        Raises:
            LeaseLost: it has expired, was released, or is unknown: reserve again under the same key, then
                commit.
            QuotaExceeded: more was used than reserved, and the surplus does not fit. The lease stays as it
                is.
            InvalidAmount: ``actual`` names a resource that was not reserved, or no amount.
        """
        ...

    async def release(self, key: str) -> None:
        """End a lease and give everything back. Idempotent."""
        ...

    async def give_back(self, charge: Charge, line: Line, *, key: str, why: str) -> None:
        """Return stock that this charge committed earlier (deleted storage), at most what it has.

        Idempotent by ``key``, which is apart from the keys of reservations.
        """
        ...

    async def usage(self, groups: Sequence[str], user: str | None = None) -> list[Usage]:
        """Tell where the policies stand that bind these groups: their own, and those of groups above.

        With a user, policies for each user are told of that user; without one, of all users that have taken
        anything, for policies of the groups themselves.
        """
        ...

    async def check(self, charge: Charge, lines: Sequence[Line]) -> Refusal | None:
        """Say what a reservation would answer, without writing."""
        ...

    async def leases(self, prefix: str = "") -> list[Lease]:
        """List the open leases whose key begins so, by key: to be reconciled with what really runs."""
        ...

    async def history(
        self, group: str, *, after: int = 0, limit: int = 100, wanted: Wanted | None = None
    ) -> list[Entry]:
        """Read the history of a group and those below it (``*``: of all), by growing ``seq``.

        ``wanted`` restricts it. What is older than the retention is gone.
        """
        ...

    async def expire(self) -> int:
        """End the leases whose time is over; return how many."""
        ...

    async def set_policies(self, policies: Iterable[Policy]) -> None:
        """Replace all policies of the configuration; what is taken is counted under the new ones at once.

        Those of an administrator stay, and hold in place of configured ones of the same name. A rate that is
        new or defined otherwise starts anew.

        Raises:
            InvalidPolicies: two policies have the same name, or one borrows where there is nothing to borrow from.
        """
        ...


class Adjustments(Protocol):
    """Reservations that are made to fit, or to say what is true."""

    async def reserve_some(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve, and where all policies in the way say ``trim``, reserve as much as fits now.

        The lease tells what was granted; each resource is cut to a whole number of units. Where nothing of a
        resource is left, it is refused. A repeated key returns the same lease.
        """
        ...

    async def reconcile(self, prefix: str, observed: Sequence[Observed], *, ttl: float, grace: float) -> Reconciled:
        """Compare the leases whose key begins so with what really runs, and make the ledger say the same.

        What runs is renewed, or reserved where it has no lease or another amount; leases for which nothing runs
        are released, unless they were granted less than ``grace`` seconds ago (it may be about to start). What
        does not fit is told and keeps the lease that it has: running work is not ended for it.
        """
        ...


class PolicyOffice(Protocol):
    """Policies and temporary grants, changed while the house runs. Each change is durable, and in the history."""

    async def policies(self) -> list[StoredPolicy]:
        """List the policies that hold, by name."""
        ...

    async def put_policy(self, policy: Policy, *, by: str, why: str) -> None:
        """Add a policy, or replace the one of its name, also a configured one.

        Raises:
            InvalidPolicies: it does not go with the others (it borrows where there is nothing to borrow from).
        """
        ...

    async def delete_policy(self, name: str, *, by: str, why: str) -> None:
        """Delete an administrator's policy; a configured one of its name holds again.

        Raises:
            UnknownPolicy: there is none of an administrator's by this name.
            InvalidPolicies: another one borrows from it.
        """
        ...

    async def grants(self) -> list[Grant]:
        """List the grants that are not over, by id."""
        ...

    async def grant(self, grant: Grant) -> None:
        """Raise a limit for a time. The same grant again changes nothing.

        Raises:
            UnknownPolicy: there is no policy of that name.
            InvalidPolicies: a rate cannot be raised for a time; or the grant is over already.
            KeyReused: another grant has its id.
        """
        ...

    async def revoke(self, grant_id: str, *, by: str, why: str) -> None:
        """End a grant early.

        Raises:
            UnknownGrant: there is none of this id, or it is over.
        """
        ...


class WaitingLine(Protocol):
    """The line of those whose reservation does not fit now. Order: :mod:`quotas.fairness`. It is durable.

    What waits is admitted as soon as it fits and nothing before it waits for the same. A reservation that is
    made apart from the line does not overtake it: where somebody waits for the same, it is refused.
    """

    async def line_up(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, priority: float = 0.0, why: str
    ) -> Lease | Ticket:
        """Reserve, or take or keep a place in the line.

        Idempotent by ``key``, as ``reserve``: to be called again while one waits (the place is kept for
        ``quotas.fairness.PLACE_SECONDS``), until it returns the lease, which then lives for ``ttl`` seconds.
        ``priority`` is in seconds of waiting.

        Raises:
            QuotaExceeded: it can never fit.
            KeyReused, InvalidAmount: as ``reserve``.
        """
        ...

    async def leave_line(self, key: str) -> None:
        """Give the place up. Idempotent; does not release a lease."""
        ...

    async def waiting(self, groups: Sequence[str] = ("*",)) -> list[Ticket]:
        """List those who wait, in order, whose charging group is one of these or below (``*``: all)."""
        ...


class UsageHistory(Protocol):
    """What was taken over time."""

    async def usage_over_time(
        self, group: str, resource: str, *, since: float, until: float, step: float
    ) -> list[UsagePoint]:
        """Tell what each user of a group and of those below took of a resource at each edge, per step of time.

        ``since``, ``until`` in epoch seconds, ``step`` in seconds; by time, group, user and edge. Steps in
        which nothing was taken or held are left out.

        Raises:
            InvalidAmount: no steps, or more than ``quotas.series.MAX_STEPS``.
        """
        ...

    async def checkpoint(self) -> Replayed:
        """Tell where the history begins: what all that was forgotten added up to.

        With the entries after ``seq`` it adds up to the present (:func:`quotas.replay.replay`).
        """
        ...


class Slices(Protocol):
    """Parts of the quota that edges may spend by themselves while they are cut off (escrow)."""

    async def open_slice(
        self, slice_id: str, edge: str, group: str, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Slice | Refusal:
        """Set a part aside for an edge, for ``ttl`` seconds. Idempotent by ``slice_id``.

        At its end what is concurrent comes back by itself; of what is used up, all of it counts as used until
        the edge has told what it really spent: so the sum over all can never be more than the limit.

        Raises:
            KeyReused, InvalidAmount: as ``Ledger.reserve``.
        """
        ...

    async def renew_slice(self, slice_id: str, *, ttl: float) -> Slice:
        """Let a slice last for ``ttl`` seconds from now.

        Raises:
            LeaseLost: it has ended, or is unknown.
            InvalidAmount: ``ttl`` is not more than 0.
        """
        ...

    async def settle_slice(self, slice_id: str, spent: Sequence[Spent]) -> None:
        """End a slice by what its users really spent. Idempotent; also after its end.

        Raises:
            LeaseLost: no such slice is known.
            InvalidAmount: more was spent than the slice had, or of something else.
        """
        ...

    async def slices(self, edge: str = "") -> list[Slice]:
        """List the slices that are open, of an edge or (by default) of all, by id."""
        ...


class FullLedger(Ledger, Adjustments, PolicyOffice, WaitingLine, UsageHistory, Slices, Protocol):
    """All of it: what the stores on SQLite and PostgreSQL are."""
