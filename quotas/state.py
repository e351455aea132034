"""All that a ledger knows, and every operation on it. No I/O, no clock, no threads.

A store holds one state, runs operations on it, and writes the journal of their changes. After a change of
policies (``stale``) the store writes the journal and loads the state anew before it goes on.
"""

from collections.abc import Iterable, Sequence

from quotas.book import SLICES, Asked, Book
from quotas.journal import Journal
from quotas.judging import Observer
from quotas.model import Lease, Line, Policy, Refusal
from quotas.office import CONFIGURATION, Office, differences
from quotas.reconciling import reconcile
from quotas.records import Grant, Observed, Reconciled, Slice, Spent, StoredPolicy
from quotas.slices import settle, slice_charge, slice_of
from quotas.trimming import reserve_some
from quotas.turns import Turns


class State:
    """A book, the line before it, and the office of its policies."""

    def __init__(self, office: Office, *, seq: int = 0, fence: int = 0, observer: Observer | None = None) -> None:
        self.office = office
        self.book = Book(office.policies, seq=seq, fence=fence, observer=observer)
        self.turns = Turns(self.book)
        self.stale = False
        """Whether policies have changed: nothing more may be done before the state is loaded anew."""

        self.expired = 0
        """How many leases the present batch of operations found to be over."""

    def begin(self, now: float) -> None:
        """End what is over, before a batch of operations."""
        self.expired = self.book.expire(now)

    def finish(self, now: float) -> None:
        """Admit who waits for what has come free, after a batch of operations."""
        if not self.stale:
            self.turns.admit(now)

    @property
    def journal(self) -> Journal:
        """What has changed and is not written."""
        return self.book.journal

    def written(self) -> None:
        """Take note that the journal has been written."""
        self.book.journal = Journal()

    # Policies.

    def configure(self, now: float, policies: Iterable[Policy]) -> None:
        """Replace the configured policies; what holds otherwise than before is in the history, but for the first."""
        before = self.office.policies.policies
        if not self.office.configure(policies, self.journal):
            return
        self.stale = True
        if before or self.book.seq:
            for policy, was, became in differences(before, self.office.policies.policies):
                fact = (policy.group, CONFIGURATION, policy.resource, policy.edge)
                self.book.note(now, "policy", policy.name, fact, (became, was, became), "the configuration changed")

    def put_policy(self, now: float, policy: Policy, by: str, why: str) -> None:
        """Add or replace an administrator's policy."""
        before = self.office.amount(policy.name)
        stored = StoredPolicy(policy=policy, source="administrator", by=by, why=why, changed_at=now)
        if self.office.put(policy, self.journal, stored):
            self.stale = True
            self._changed(now, policy, before, by, why)

    def delete_policy(self, now: float, name: str, by: str, why: str) -> None:
        """Delete an administrator's policy."""
        before = self.office.named(name) if name in self._names() else None
        self.stale |= self.office.delete(name, self.journal)
        if before is not None:
            self._changed(now, before, before.amount, by, why)

    def _names(self) -> set[str]:
        return {policy.name for policy in self.office.policies.policies}

    def _changed(self, now: float, policy: Policy, before: float, by: str, why: str) -> None:
        fact = (policy.group, by, policy.resource, policy.edge)
        after = self.office.amount(policy.name)
        self.book.note(now, "policy", policy.name, fact, (after, before, after), why)

    def grant(self, now: float, grant: Grant) -> None:
        """Raise a limit for a time."""
        if self.office.raise_limit(grant, now, self.journal):
            self._granted(now, grant, (grant.amount, 0.0, grant.amount), grant.by, grant.why)

    def revoke(self, now: float, grant_id: str, by: str, why: str) -> None:
        """End a grant early."""
        grant = self.office.end_grant(grant_id, now, self.journal)
        self._granted(now, grant, (grant.amount, grant.amount, 0.0), by, why)

    def _granted(self, now: float, grant: Grant, amounts: tuple[float, float, float], by: str, why: str) -> None:
        policy = self.office.named(grant.policy)
        self.stale = True
        fact = (grant.holder, by, policy.resource, policy.edge)
        self.book.note(now, "grant", grant.id, fact, amounts, why)

    # Reservations that are more than one.

    def reserve_some(self, now: float, key: str, asked: Asked) -> Lease | Refusal:
        """Reserve what fits (see :class:`quotas.ledger.Ledger`)."""
        return reserve_some(self.book, now, key, asked)

    def reconcile(self, now: float, prefix: str, observed: Sequence[Observed], ttl: float, grace: float) -> Reconciled:
        """Make the leases say what really runs (see :class:`quotas.ledger.Ledger`)."""
        return reconcile(self.book, now, prefix, observed, (ttl, grace))

    def open_slice(
        self, now: float, slice_id: str, edge: str, group: str, asked: tuple[tuple[Line, ...], float, str]
    ) -> Slice | Refusal:
        """Set a part aside for an edge (see :class:`quotas.ledger.Slices`)."""
        lines, ttl, why = asked
        answer = self.book.reserve(now, SLICES + slice_id, slice_charge(edge, group), lines, ttl, why)
        return answer if isinstance(answer, Refusal) else slice_of(answer)

    def settle_slice(self, now: float, slice_id: str, spent: Sequence[Spent]) -> None:
        """End a slice by what was really spent (see :class:`quotas.ledger.Slices`)."""
        settle(self.book, now, SLICES + slice_id, spent)

    def slices(self, edge: str) -> list[Slice]:
        """List the open slices."""
        found = [slice_of(lease) for key, lease in sorted(self.book.leases.items()) if key.startswith(SLICES)]
        return [each for each in found if edge in ("", each.edge)]
