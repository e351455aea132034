"""The seam of the ledger: what every store guarantees."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from quotas.model import Charge, Entry, Lease, Line, Policy, Refusal, Usage


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

    async def history(self, group: str, *, after: int = 0, limit: int = 100) -> list[Entry]:
        """Read the history of a group and those below it (``*``: of all), by growing ``seq``."""
        ...

    async def expire(self) -> int:
        """End the leases whose time is over; return how many."""
        ...

    async def set_policies(self, policies: Iterable[Policy]) -> None:
        """Replace all policies; what is taken is counted under the new ones at once.

        A rate that is new or defined otherwise starts anew.

        Raises:
            ValueError: two policies have the same name.
        """
        ...
