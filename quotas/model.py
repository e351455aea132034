"""The nouns of quotas. Frozen values, validated at construction."""

from typing import Literal

import msgspec


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our values: immutable, keyword-only, strict when decoded."""


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


class Policy(Frozen):
    """A limit on one resource for a group, each of its users, or each of its children; per edge or everywhere."""

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
        if not self.amount >= 0:
            raise ValueError(f"policy {self.name}: amount must be 0 or more, got {self.amount}")
        if (self.kind in ("rate", "window")) != (self.window_seconds > 0):
            raise ValueError(f"policy {self.name}: window_seconds > 0 belongs to kinds rate and window, and only there")


class Line(Frozen):
    """One thing asked for: so much of a resource at an edge (``*`` where no edge is meant)."""

    resource: str
    amount: float
    edge: str = "*"


class Charge(Frozen):
    """Who pays: one group path (``root/org/team``), and the user inside it."""

    group: str
    user: str


class Lease(Frozen):
    """A granted reservation. ``fence`` grows with each grant or renewal; ``expires_at`` is in epoch seconds."""

    key: str
    charge: Charge
    lines: tuple[Line, ...]
    fence: int
    expires_at: float


class Explanation(Frozen):
    """Why a reservation was refused, in numbers. ``available_at`` is None where waiting never helps."""

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

    def sentence(self) -> str:
        """Say it to a person, with the unit of the resource."""
        unit = RESOURCES[self.resource]
        where = "" if self.edge == "*" else f" at {self.edge}"
        return (
            f"quota {self.policy!r} of group {self.group}{where}: {self.requested:g} {unit} requested, "
            f"{self.used + self.reserved:g} of {self.limit:g} {unit} taken"
        )


class Refusal(Frozen):
    """A refused reservation: each enforced policy that stood in the way. Nothing was reserved."""

    violated: tuple[Explanation, ...]
    retry_after: float | None = None

    def sentence(self) -> str:
        """Say it to a person."""
        return "; ".join(explanation.sentence() for explanation in self.violated)


class Usage(Frozen):
    """Where one policy stands for one holder (a group, or a user of it)."""

    policy: Policy
    holder: str
    edge: str
    used: float
    reserved: float


class Entry(Frozen):
    """One line of the append-only history. ``at`` is in epoch seconds; ``before``/``after`` are taken amounts."""

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
