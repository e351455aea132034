"""The nouns of quotas. Frozen values, validated at construction."""

import math
from typing import Literal, dataclass_transform

import msgspec


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
}
"""What can be limited, and the unit that an explanation uses."""

EVERYONE = "*"
"""As a policy's ``group``: all groups together; as its ``edge``: all edges together."""

LARGEST = 1e18
"""The largest amount that can be asked for or granted, in any unit."""


def is_group(path: str) -> bool:
    """Tell whether a text is a group path: printable names joined by ``/``, none empty or begun by ``~``."""
    return path.isprintable() and all(name and name[0] != "~" for name in path.split("/"))


class Policy(Frozen):
    """A limit on one resource for a group, each of its users, or each of its children; per edge or for all.

    ``group`` covers the group and all below it; ``*`` covers all groups. A policy in mode ``shadow`` is
    counted and reported, and refuses nothing.
    """

    name: str
    group: str
    resource: str
    kind: Kind
    amount: float
    applies: Literal["group", "each-user", "each-child"] = "group"
    edge: str = "*"
    window_seconds: int = 0
    mode: Literal["enforce", "shadow"] = "enforce"
    contact: str = ""

    def __post_init__(self) -> None:
        if self.resource not in RESOURCES:
            raise ValueError(f"policy {self.name}: resource {self.resource!r} is none of {', '.join(RESOURCES)}")
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"a policy's name must be printable text, got {self.name!r}")
        if self.group != EVERYONE and not is_group(self.group):
            raise ValueError(f"policy {self.name}: group {self.group!r} is no path such as 'root/org/team', nor '*'")
        if not 0 <= self.amount <= LARGEST:
            raise ValueError(f"policy {self.name}: amount must be within 0 and {LARGEST:g}, got {self.amount}")
        if (self.kind in ("rate", "window")) != (self.window_seconds > 0):
            raise ValueError(f"policy {self.name}: window_seconds > 0 belongs to kinds rate and window, and only there")


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
    """A granted reservation. ``fence`` grows with each grant and renewal; ``expires_at`` in epoch seconds."""

    key: str
    charge: Charge
    lines: tuple[Line, ...]
    fence: int
    expires_at: float


class Explanation(Frozen):
    """Why a reservation was refused, in numbers, in the unit of the resource.

    ``group`` is the holder: a group path, or ``group/~user``. ``available_at`` (epoch seconds) is when what
    is taken will have come free by itself: leases run out, windows roll on. It is None where no time is
    known: the request is more than the limit, or only giving stock back helps.
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

    @property
    def never(self) -> bool:
        """Whether the request is more than the whole limit, so that waiting cannot help."""
        return self.requested > self.limit

    def sentence(self) -> str:
        """Say it to a person, with the unit of the resource."""
        unit = RESOURCES[self.resource]
        where = "" if self.edge == "*" else f" at {self.edge}"
        return (
            f"quota {self.policy!r} of group {self.group}{where}: {self.requested:g} {unit} requested, "
            f"{self.used + self.reserved:g} of {self.limit:g} {unit} taken"
        )


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

    def sentence(self) -> str:
        """Say it to a person."""
        return "; ".join(explanation.sentence() for explanation in self.violated)


class Usage(Frozen):
    """Where one policy stands for one holder: a group path, or ``group/~user``."""

    policy: Policy
    holder: str
    edge: str
    used: float
    reserved: float


class Entry(Frozen):
    """One line of the append-only history. ``at`` is in epoch seconds.

    ``event`` is reserve, commit, release, expire or give-back; ``amount`` is what it was about. ``before``
    and ``after`` are what this user of this group had taken of the resource at the edge: open reservations,
    plus what was committed and not given back. The changes of all entries add up to the present.
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
