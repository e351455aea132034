"""The nouns around reservations: who changed a policy, who waits, what an edge may spend by itself."""

import math
from typing import Literal

from quotas.model import LARGEST, RESOURCES, Charge, Entry, Explanation, Frozen, Lease, Line, Policy, Refusal

Source = Literal["configuration", "administrator"]


class StoredPolicy(Frozen):
    """A policy that holds, and where it comes from: the configuration file, or an administrator.

    An administrator's policy holds in place of a configured one of the same name, until it is deleted.
    """

    policy: Policy
    source: Source
    by: str = ""
    why: str = ""
    changed_at: float = 0.0


class Grant(Frozen):
    """A temporary raise of a policy's limit for one holder, by ``amount``; over at ``expires_at`` (epoch seconds).

    ``holder`` is a group path, or ``group/~user``: a holder of the policy's accounts.
    """

    id: str
    policy: str
    holder: str
    amount: float
    expires_at: float
    by: str
    why: str

    def __post_init__(self) -> None:
        if not (self.id.strip() and self.id.isprintable() and self.holder):
            raise ValueError("a grant needs an id and a holder")
        if not 0 < self.amount <= LARGEST:
            raise ValueError(f"grant {self.id}: amount must be more than 0 and at most {LARGEST:g}, got {self.amount}")
        if not math.isfinite(self.expires_at):
            raise ValueError(f"grant {self.id}: expires_at must be a time in epoch seconds, got {self.expires_at}")
        if not self.why.strip():
            raise ValueError(f"grant {self.id}: say why")


class Ticket(Frozen):
    """A place in the line. ``position`` 1 is next; ``waits_for`` says what stands in the way now.

    ``expected_at`` (epoch seconds) is when what is ahead and this will fit as leases run out: they may end
    earlier, and may be renewed. None where no time is known. Asking again before ``expires_at`` keeps the place.
    """

    key: str
    charge: Charge
    lines: tuple[Line, ...]
    position: int
    since: float
    expires_at: float
    expected_at: float | None = None
    waits_for: tuple[Explanation, ...] = ()


class Slice(Frozen):
    """A part of the quota that an edge may spend by itself until ``expires_at`` (epoch seconds)."""

    id: str
    edge: str
    group: str
    lines: tuple[Line, ...]
    expires_at: float


class Spent(Frozen):
    """What one user took of a slice."""

    user: str
    resource: str
    amount: float

    def __post_init__(self) -> None:
        if self.resource not in RESOURCES or not self.user:
            raise ValueError(f"what was spent needs a user and a resource, got {self.user!r} and {self.resource!r}")
        if not 0 <= self.amount <= LARGEST:
            raise ValueError(f"amount of {self.resource} must be within 0 and {LARGEST:g}, got {self.amount}")


class Observed(Frozen):
    """What really runs under a key, told by where it runs."""

    key: str
    charge: Charge
    lines: tuple[Line, ...]


class Reconciled(Frozen):
    """What a comparison with the truth changed.

    ``held``: leases that go on, with their new fences. ``adopted``: what ran without a lease, or with another
    amount, and has its lease now. ``released``: keys of leases for which nothing runs. ``refused``: what runs
    although it does not fit, by key.
    """

    held: tuple[Lease, ...] = ()
    adopted: tuple[Lease, ...] = ()
    released: tuple[str, ...] = ()
    refused: tuple[tuple[str, Refusal], ...] = ()


class Wanted(Frozen):
    """Which lines of the history to read; what is empty or None does not restrict.

    ``since`` and ``until`` are in epoch seconds: from, and up to but without.
    """

    events: tuple[str, ...] = ()
    user: str = ""
    resource: str = ""
    edge: str = ""
    key: str = ""
    since: float | None = None
    until: float | None = None


def is_wanted(entry: Entry, wanted: Wanted) -> bool:
    """Tell whether a line of the history is asked for."""
    named = (
        (wanted.user, entry.user),
        (wanted.resource, entry.resource),
        (wanted.edge, entry.edge),
        (wanted.key, entry.key),
    )
    early = wanted.since is not None and entry.at < wanted.since
    late = wanted.until is not None and entry.at >= wanted.until
    asked = not wanted.events or entry.event in wanted.events
    return asked and not early and not late and all(name in ("", value) for name, value in named)


class UsagePoint(Frozen):
    """What one user took of a resource at one edge in one step of time, which begins at ``at`` (epoch seconds).

    ``used``: committed in it. ``held``: reserved or kept, on average over the step. ``peak``: the most held; of what
    is used up, the most that was held at the beginning of the step.
    """

    at: float
    group: str
    user: str
    edge: str
    used: float
    held: float
    peak: float
