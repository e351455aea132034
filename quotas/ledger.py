"""The seam of the ledger: what every store guarantees."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from quotas.model import Charge, Entry, Lease, Line, Refusal, Usage


class Ledger(Protocol):
    """Reservations against policies.

    Guarantees, in every store: a reservation is granted for all its lines and all groups up to the root, or not at
    all; ``0 <= used + reserved <= limit`` holds for enforced policies at each moment; each call is idempotent by
    ``key``; a lease that is neither renewed, committed nor released ends at its expiry; what is granted is durable
    when the call returns; if the store cannot be written, :class:`quotas.errors.LedgerUnavailable` is raised and
    nothing is granted (fail closed).
    """

    async def reserve(self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str) -> Lease | Refusal:
        """Reserve all lines for ``ttl`` seconds, or tell why not. A repeated key returns the same lease."""
        ...

    async def renew(self, key: str, *, ttl: float) -> Lease:
        """Extend a lease; raise :class:`quotas.errors.LeaseLost` if it has ended."""
        ...

    async def commit(self, key: str, actual: Mapping[str, float] | None = None) -> None:
        """End a lease by what was really used, per resource (default: as reserved).

        Windows and stocks keep the actual amount as used; concurrent amounts are given back.
        """
        ...

    async def release(self, key: str) -> None:
        """End a lease and give everything back. Idempotent."""
        ...

    async def give_back(self, charge: Charge, line: Line, *, key: str, why: str) -> None:
        """Return stock that was committed earlier (deleted storage). Idempotent by ``key``."""
        ...

    async def usage(self, groups: Sequence[str], user: str | None = None) -> list[Usage]:
        """Tell where the policies of these groups (and of the user in them) stand."""
        ...

    async def check(self, charge: Charge, lines: Sequence[Line]) -> Refusal | None:
        """Say what a reservation would answer, without writing."""
        ...

    async def history(self, group: str, *, after: int = 0, limit: int = 100) -> list[Entry]:
        """Read the history of a group and those below it, by growing ``seq``."""
        ...

    async def expire(self) -> int:
        """End the leases whose time is over; return how many."""
        ...
