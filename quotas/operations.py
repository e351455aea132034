"""The operations of a ledger: each is one call on its state, which a store makes durable."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from quotas.binding import PolicySet, fact_of
from quotas.book import SLICES, Asked
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
from quotas.rollup import Steps, Sums, usage_points
from quotas.series import check_steps
from quotas.slices import slice_of
from quotas.state import State

Result = TypeVar("Result")

Call = Callable[[State, float], Result]

MAX_HISTORY = 1_000
"""Most entries in one page of history."""

EVERYTHING = Wanted()


class LedgerOperations(ABC):
    """What every store of a :class:`quotas.ledger.FullLedger` has in common.

    A store says how a call is run on its state and made durable, and how its history is read.
    """

    @property
    @abstractmethod
    def policy_set(self) -> PolicySet:
        """The policies that hold, as far as is known without I/O."""

    @abstractmethod
    async def _call(self, run: Call[Result], *keys: str, fresh: bool = False) -> Result:
        """Run an operation; ``keys`` are those that it must know about. Return when it is durable.

        ``fresh``: they were most likely never used before. A store may rely on it to be faster, not to be right.

        Raises:
            LedgerUnavailable: the ledger cannot be read or written.
        """

    @abstractmethod
    async def _read_history(self, group: str, after: int, limit: int, wanted: Wanted) -> list[Entry]:
        """Read the history, by growing ``seq``."""

    @abstractmethod
    async def _read_usage(self, group: str, resource: str, last: int, steps: Steps) -> list[Sums]:
        """Sum up the history from the first step up to the entry ``last``."""

    def binds(self, charge: Charge, lines: Iterable[Line]) -> tuple[Policy, ...]:
        """Tell which policies bind these lines (see :class:`quotas.ledger.Ledger`)."""
        bind = self.policy_set.bind
        return tuple(bound.policy for line in lines for bound in bind(fact_of(charge, line)).all)

    # Reservations.

    async def reserve(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve (see :class:`quotas.ledger.Ledger`)."""
        return await self._call(
            lambda state, now: state.book.reserve(now, key, charge, lines, ttl, why), key, fresh=True
        )

    async def reserve_some(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Lease | Refusal:
        """Reserve what fits (see :class:`quotas.ledger.Ledger`)."""
        asked = Asked(charge, tuple(lines), ttl, why)
        return await self._call(lambda state, now: state.reserve_some(now, key, asked), key)

    async def renew(self, key: str, *, ttl: float) -> Lease:
        """Extend a lease (see :class:`quotas.ledger.Ledger`)."""
        return await self._call(lambda state, now: state.book.renew(now, key, ttl), key)

    async def commit(self, key: str, actual: Mapping[str, float] | None = None) -> None:
        """End a lease by what was used (see :class:`quotas.ledger.Ledger`)."""
        await self._call(lambda state, now: state.book.commit(now, key, actual), key)

    async def release(self, key: str) -> None:
        """End a lease unused (see :class:`quotas.ledger.Ledger`)."""
        await self._call(lambda state, now: state.book.release(now, key), key)

    async def give_back(self, charge: Charge, line: Line, *, key: str, why: str) -> None:
        """Return stock (see :class:`quotas.ledger.Ledger`)."""
        await self._call(lambda state, now: state.book.give_back(now, charge, line, key, why), key)

    async def reconcile(self, prefix: str, observed: Sequence[Observed], *, ttl: float, grace: float) -> Reconciled:
        """Make the leases say what runs (see :class:`quotas.ledger.Ledger`)."""
        keys = [each.key for each in observed]
        return await self._call(lambda state, now: state.reconcile(now, prefix, observed, ttl, grace), *keys)

    async def usage(self, groups: Sequence[str], user: str | None = None) -> list[Usage]:
        """Tell where policies stand (see :class:`quotas.ledger.Ledger`)."""
        return await self._call(lambda state, now: state.book.usage(now, groups, user))

    async def check(self, charge: Charge, lines: Sequence[Line]) -> Refusal | None:
        """Say what a reservation would answer (see :class:`quotas.ledger.Ledger`)."""
        return await self._call(lambda state, now: state.book.check(now, charge, lines))

    async def leases(self, prefix: str = "") -> list[Lease]:
        """List the open leases (see :class:`quotas.ledger.Ledger`)."""
        return await self._call(
            lambda state, _: [lease for key, lease in sorted(state.book.leases.items()) if key.startswith(prefix)]
        )

    async def history(
        self, group: str, *, after: int = 0, limit: int = 100, wanted: Wanted | None = None
    ) -> list[Entry]:
        """Read the history (see :class:`quotas.ledger.Ledger`)."""
        return await self._read_history(group, after, min(limit, MAX_HISTORY), wanted or EVERYTHING)

    async def expire(self) -> int:
        """End the leases whose time is over (see :class:`quotas.ledger.Ledger`)."""
        return await self._call(lambda state, _: state.expired)

    # Policies and grants.

    async def set_policies(self, policies: Iterable[Policy]) -> None:
        """Replace the configured policies (see :class:`quotas.ledger.Ledger`)."""
        wanted = tuple(policies)
        await self._call(lambda state, now: state.configure(now, wanted))

    async def policies(self) -> list[StoredPolicy]:
        """List the policies that hold (see :class:`quotas.ledger.PolicyOffice`)."""
        return await self._call(lambda state, _: state.office.holding())

    async def put_policy(self, policy: Policy, *, by: str, why: str) -> None:
        """Add or replace a policy (see :class:`quotas.ledger.PolicyOffice`)."""
        await self._call(lambda state, now: state.put_policy(now, policy, by, why))

    async def delete_policy(self, name: str, *, by: str, why: str) -> None:
        """Delete a policy (see :class:`quotas.ledger.PolicyOffice`)."""
        await self._call(lambda state, now: state.delete_policy(now, name, by, why))

    async def grants(self) -> list[Grant]:
        """List the grants (see :class:`quotas.ledger.PolicyOffice`)."""
        return await self._call(lambda state, now: state.office.granted(now))

    async def grant(self, grant: Grant) -> None:
        """Raise a limit for a time (see :class:`quotas.ledger.PolicyOffice`)."""
        await self._call(lambda state, now: state.grant(now, grant))

    async def revoke(self, grant_id: str, *, by: str, why: str) -> None:
        """End a grant early (see :class:`quotas.ledger.PolicyOffice`)."""
        await self._call(lambda state, now: state.revoke(now, grant_id, by, why))

    # The line.

    async def line_up(
        self, key: str, charge: Charge, lines: Sequence[Line], *, ttl: float, priority: float = 0.0, why: str
    ) -> Lease | Ticket:
        """Reserve or wait (see :class:`quotas.ledger.WaitingLine`)."""
        asked = Asked(charge, tuple(lines), ttl, why)
        return await self._call(lambda state, now: state.turns.line_up(now, key, asked, priority), key)

    async def leave_line(self, key: str) -> None:
        """Wait no more (see :class:`quotas.ledger.WaitingLine`)."""
        await self._call(lambda state, _: state.turns.leave(key))

    async def waiting(self, groups: Sequence[str] = ("*",)) -> list[Ticket]:
        """List who waits (see :class:`quotas.ledger.WaitingLine`)."""
        return await self._call(lambda state, now: state.turns.tickets_of(now, groups))

    # Over time.

    async def usage_over_time(
        self, group: str, resource: str, *, since: float, until: float, step: float
    ) -> list[UsagePoint]:
        """Tell what was taken over time (see :class:`quotas.ledger.UsageHistory`)."""
        check_steps(since, until, step)
        held, seq = await self._call(lambda state, _: (state.book.held(group, resource), state.book.seq))
        steps = Steps(since, until, step)
        return usage_points(await self._read_usage(group, resource, seq, steps), resource, held, steps)

    # Slices.

    async def open_slice(
        self, slice_id: str, edge: str, group: str, lines: Sequence[Line], *, ttl: float, why: str
    ) -> Slice | Refusal:
        """Set a part aside for an edge (see :class:`quotas.ledger.Slices`)."""
        asked = (tuple(lines), ttl, why)
        run: Call[Slice | Refusal] = lambda state, now: state.open_slice(now, slice_id, edge, group, asked)  # noqa: E731 - its type must be said
        return await self._call(run, SLICES + slice_id)

    async def renew_slice(self, slice_id: str, *, ttl: float) -> Slice:
        """Let a slice last longer (see :class:`quotas.ledger.Slices`)."""
        key = SLICES + slice_id
        return await self._call(lambda state, now: slice_of(state.book.renew(now, key, ttl)), key)

    async def settle_slice(self, slice_id: str, spent: Sequence[Spent]) -> None:
        """End a slice by what was spent (see :class:`quotas.ledger.Slices`)."""
        parts = tuple(spent)
        keys = [SLICES + slice_id, *(f"{SLICES}{slice_id}/{number}" for number in range(len(parts)))]
        await self._call(lambda state, now: state.settle_slice(now, slice_id, parts), *keys)

    async def slices(self, edge: str = "") -> list[Slice]:
        """List the open slices (see :class:`quotas.ledger.Slices`)."""
        return await self._call(lambda state, _: state.slices(edge))
