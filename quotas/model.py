"""The nouns of quotas. Frozen values, validated at construction."""

import math
import re
from typing import Literal, dataclass_transform

import msgspec
from msgspec import UNSET, UnsetType


@dataclass_transform(kw_only_default=True, frozen_default=True)  # what msgspec cannot tell type checkers
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(msgspec.StructMeta):
    """Tells type checkers that sub-classes are frozen and keyword-only, too."""


class Frozen(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of our values: immutable, keyword-only, strict when decoded.

    They cannot form cycles, so the cyclic collector need not walk over a ledger's many leases.
    """


Kind = Literal["concurrent", "stock", "rate", "window"]
"""``concurrent``: held by leases. ``stock``: held until given back (storage). ``rate``: GCRA, ``amount`` per
``window_seconds`` with bursts of ``amount``. ``window``: used up, and free again ``window_seconds`` later."""

RESOURCES: dict[str, str] = {
    "requests": "requests",
    "items": "items",
    "egress_bytes": "bytes",
    "harvest_bytes": "bytes",
    "storage_bytes": "bytes",
    "clusters": "clusters",
    "cores": "cores",
    "memory": "bytes",
    "gpus": "GPUs",
    "core_hours": "core hours",
    "kernels": "kernels",
    "harvest_jobs": "jobs",
    "hook_orders": "orders",
    "data_orders": "orders",
}
"""What can be limited, and the unit that an explanation uses."""

CONSUMED = frozenset(
    {"requests", "items", "egress_bytes", "harvest_bytes", "storage_bytes", "core_hours", "hook_orders", "data_orders"}
)
"""The resources that are used up, or kept; the others are held, and free again when their lease ends."""

EVERYONE = "*"
"""As a policy's ``group``: all groups together; as its ``edge``: all edges together."""

MONTH = -1
"""As the span of a window, in place of seconds: the calendar month, UTC."""

OnExceed = Literal["reject", "queue", "trim", "degrade"]
"""What a face should do where a policy stands in the way: refuse; let it wait in line; take less; or go on, slower."""

LARGEST = 1e18
"""The largest amount that can be asked for or granted, in any unit."""


_PLACES = re.compile(r"[^,\s]+(,[^,\s]+)*")


def is_group(path: str) -> bool:
    """Tell whether a text is a group path: printable names joined by ``/``, none empty or begun by ``~``."""
    return path.isprintable() and all(name and name[0] != "~" for name in path.split("/"))


class Policy(Frozen):
    """A limit on one resource for a group, each of its users, or each of its children; per edge or for all.

    ``group`` covers the group and all below it; ``*`` covers all groups. ``edge`` is a name, or several names
    and patterns (``edge-a,cloud-*``) whose edges share one account; ``*`` covers all, and what has no edge.

    A holder may take up to ``borrow`` more than ``amount`` of what the policy of the group above has left;
    of its own ``amount`` it lends ``lend`` (by default all of it) to others while it does not use it.
    ``weight`` is the group's share where it waits in line (see :mod:`quotas.fairness`).

    A policy in mode ``shadow`` is counted and reported, and refuses nothing. ``on_exceed: degrade`` refuses
    nothing either: what goes over the limit is granted, and its lease says so.
    """

    name: str
    group: str
    resource: str
    kind: Kind
    amount: float
    applies: Literal["group", "each-user", "each-child"] = "group"
    edge: str = "*"
    window_seconds: int = 0
    reset: Literal["rolling", "month"] = "rolling"
    borrow: float = 0.0
    lend: float | None = None
    weight: float = 1.0
    on_exceed: OnExceed = "reject"
    mode: Literal["enforce", "shadow"] = "enforce"
    contact: str = ""

    @property
    def span(self) -> int:
        """The window in seconds, or :data:`MONTH`."""
        return MONTH if self.reset == "month" else self.window_seconds

    @property
    def refuses(self) -> bool:
        """Whether more than the limit is refused, rather than told."""
        return self.mode == "enforce" and self.on_exceed != "degrade"

    @property
    def guaranteed(self) -> float:
        """What is kept for the holder even while it does not use it."""
        return 0.0 if self.lend is None else self.amount - self.lend

    def __post_init__(self) -> None:
        if self.resource not in RESOURCES:
            raise ValueError(f"policy {self.name}: resource {self.resource!r} is none of {', '.join(RESOURCES)}")
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"a policy's name must be printable text, got {self.name!r}")
        if self.group != EVERYONE and not is_group(self.group):
            raise ValueError(f"policy {self.name}: group {self.group!r} is no path such as 'root/org/team', nor '*'")
        if not 0 <= self.amount <= LARGEST:
            raise ValueError(f"policy {self.name}: amount must be within 0 and {LARGEST:g}, got {self.amount}")
        if self.reset == "month" and (self.kind != "window" or self.window_seconds):
            raise ValueError(f"policy {self.name}: reset: month belongs to kind window, without window_seconds")
        if self.reset == "rolling" and (self.kind in ("rate", "window")) != (self.window_seconds > 0):
            raise ValueError(f"policy {self.name}: window_seconds > 0 belongs to kinds rate and window, and only there")
        if not _PLACES.fullmatch(self.edge):
            raise ValueError(f"policy {self.name}: edge {self.edge!r} is no name or pattern, nor several with commas")
        self._check_sharing()

    def _check_sharing(self) -> None:
        if not 0 <= self.borrow <= LARGEST:
            raise ValueError(f"policy {self.name}: borrow must be within 0 and {LARGEST:g}, got {self.borrow}")
        if self.borrow and (self.kind == "rate" or self.group == EVERYONE):
            raise ValueError(f"policy {self.name}: a rate, or a policy of all groups, has nobody to borrow from")
        if self.lend is not None and not (0 <= self.lend <= self.amount and self.applies == "group"):
            raise ValueError(f"policy {self.name}: lend must be within 0 and amount, and belongs to applies: group")
        if not 0 < self.weight <= LARGEST:
            raise ValueError(f"policy {self.name}: weight must be more than 0, got {self.weight}")


class Line(Frozen):
    """One thing asked for: so much of a resource at an edge (``*`` where no edge is meant)."""

    resource: str
    amount: float
    edge: str = "*"

    def __post_init__(self) -> None:
        if self.resource not in RESOURCES:
            raise ValueError(f"resource {self.resource!r} is none of {', '.join(RESOURCES)}")
        if not (math.isfinite(self.amount) and 0 <= self.amount <= LARGEST):
            raise ValueError(f"amount of {self.resource} must be within 0 and {LARGEST:g}, got {self.amount}")
        if not self.edge:
            raise ValueError(f"edge of {self.resource} must name an edge, or be '*'")


class Charge(Frozen):
    """Who pays: one group path (``root/org/team``), and the user inside it."""

    group: str
    user: str

    def __post_init__(self) -> None:
        if not self.user or not is_group(self.group):
            raise ValueError(f"a charge needs a user and a group path, got {self.user!r} and {self.group!r}")


class Lease(Frozen):
    """A granted reservation. ``fence`` grows with each grant and renewal; ``expires_at`` in epoch seconds.

    ``degraded`` names the policies that are exceeded by it and say ``on_exceed: degrade``: go on, but slower.
    """

    key: str
    charge: Charge
    lines: tuple[Line, ...]
    fence: int
    expires_at: float
    degraded: tuple[str, ...] = ()


class Held(Frozen):
    """What one user of a group holds of what is limited."""

    group: str
    user: str
    amount: float


class Holders(Frozen):
    """Who holds what a limit counts: those who may be named, and what all ``others`` hold together."""

    visible: tuple[Held, ...] = ()
    others: float = 0.0

    def sentence(self) -> str:
        """Say it to a person."""
        named = [f"{each.user} {each.amount:g}" for each in self.visible]
        return ", ".join([*named, f"others {self.others:g}"] if self.others else named)


class Explanation(Frozen):
    """Why a reservation was refused, in numbers, in the unit of the resource.

    ``group`` is the holder: a group path, or ``group/~user``. ``available_at`` (epoch seconds) is when what
    is taken will have come free by itself: leases run out, windows roll on. It is None where no time is
    known: the request is more than the limit, or only giving stock back helps.

    ``admissible`` is the largest amount that this policy would grant now. ``position`` is told where the
    request waits in line, or would: 1 is next.

    The ledger names no ``holders``: whom one may name depends on who asks, which the ledger does not know. Where there
    are none the member is not written at all, so that older processes read what newer ones write.
    """

    policy: str
    group: str
    edge: str
    resource: str
    kind: Kind
    limit: float
    used: float
    reserved: float
    requested: float
    available_at: float | None = None
    contact: str = ""
    on_exceed: OnExceed = "reject"
    admissible: float = 0.0
    position: int | None = None
    holders: Holders | UnsetType = UNSET

    @property
    def never(self) -> bool:
        """Whether the request is more than the whole limit, so that waiting cannot help."""
        return self.requested > self.limit

    def sentence(self) -> str:
        """Say it to a person, with the unit of the resource; many clients show a sentence and nothing else."""
        unit = RESOURCES[self.resource]
        where = "" if self.edge == "*" else f" at {self.edge}"
        what = "" if self.resource == unit else f" for {self.resource}"
        return (
            f"quota {self.policy!r} of group {self.group}{where}{what}: {self.requested:g} {unit} requested, "
            f"{self.used + self.reserved:g} of {self.limit:g} {unit} taken "
            f"({self.used:g} used, {self.reserved:g} reserved)"
        )


_STRICTEST_FIRST: tuple[OnExceed, ...] = ("reject", "queue", "trim")


class Refusal(Frozen):
    """A refused reservation: each enforced policy that stood in the way. Nothing was reserved.

    ``retry_after`` in seconds; None where no time is known.
    """

    violated: tuple[Explanation, ...]
    retry_after: float | None = None

    @property
    def never(self) -> bool:
        """Whether the request exceeds some limit as a whole, so that waiting cannot help."""
        return any(explanation.never for explanation in self.violated)

    @property
    def on_exceed(self) -> OnExceed:
        """What to do: the strictest that a policy in the way says (reject, then queue, then trim)."""
        said = {explanation.on_exceed for explanation in self.violated}
        return next((each for each in _STRICTEST_FIRST if each in said), "reject")

    @property
    def admissible(self) -> dict[str, float]:
        """The largest amount of each resource in the way that would be granted now."""
        least: dict[str, float] = {}
        for each in self.violated:
            least[each.resource] = min(each.admissible, least.get(each.resource, math.inf))
        return least

    def sentence(self) -> str:
        """Say it to a person."""
        return "; ".join(explanation.sentence() for explanation in self.violated)


class Usage(Frozen):
    """Where one policy stands for one holder: a group path, or ``group/~user``.

    ``granted`` is what temporary grants add to its limit now.
    """

    policy: Policy
    holder: str
    edge: str
    used: float
    reserved: float
    granted: float = 0.0

    @property
    def limit(self) -> float:
        """The most that may be taken now: the amount, with grants, and what may be borrowed."""
        return self.policy.amount + self.granted + self.policy.borrow


class Entry(Frozen):
    """One line of the append-only history. ``at`` is in epoch seconds.

    ``event`` is reserve, commit, release, expire or give-back; ``amount`` is what it was about. ``before``
    and ``after`` are what this user of this group had taken of the resource at the edge: open reservations,
    plus what was committed and not given back. The changes of all these entries add up to the present
    (:func:`quotas.replay.replay`).

    Of ``policy`` and ``grant``, ``key`` names the policy or the grant, ``user`` who changed it, and ``before``
    and ``after`` are its amount.
    """

    seq: int
    at: float
    event: str
    key: str
    group: str
    user: str
    resource: str
    edge: str
    amount: float
    before: float
    after: float
    why: str
