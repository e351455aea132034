"""The nouns of the Dask face. Frozen values."""

from collections.abc import Mapping
from typing import Any, Literal

from edges.compute.model import ClusterReport
from edges.model import ClusterCap, EdgeUser, Frozen
from quotas.model import Charge, Line

State = Literal["creating", "live", "ending", "ended"]
"""``creating``: the intent is written, the edge may or may not have the cluster. ``live``: the edge has it.
``ending``: it must end, and its lease lives until the edge says that it has. ``ended``: nothing is held."""


class Terms(Frozen):
    """What every cluster gets: the cap it can grow to, and how long its lease lives without renewal, in seconds."""

    cap: ClusterCap
    lease_seconds: float = 60.0


class ClusterRoute(Frozen):
    """One cluster of ours, from the intent to its end.

    ``id`` is ours and is known before the edge is asked; ``name`` is the edge's. ``lease`` is the key in the ledger.
    ``status`` is the edge's last word; times are epoch seconds.
    """

    id: str
    user: str
    groups: tuple[str, ...]
    charging_group: str
    edge: str
    cap: ClusterCap
    lease: str
    created_at: float
    state: State = "creating"
    name: str | None = None
    status: str = "PENDING"
    ended_at: float | None = None
    wished: Mapping[str, Any] = {}
    """Our own options as the user gave them (``collections``, ``items``), echoed in reports."""

    @property
    def open(self) -> bool:
        """Tell whether the cluster holds, or may hold, anything."""
        return self.state != "ended"

    @property
    def edge_user(self) -> EdgeUser:
        """Return who acts at the edge."""
        return EdgeUser(name=self.user, groups=self.groups)

    @property
    def charge(self) -> Charge:
        """Return who pays."""
        return Charge(group=self.charging_group, user=self.user)

    @property
    def first_minute(self) -> Line:
        """Return the core hours of its first minute."""
        return Line(resource="core_hours", amount=self.cap.cores / 60, edge=self.edge)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Return what is reserved while the cluster lives: its whole cap, since its owner may fill it at any time."""
        return (
            Line(resource="clusters", amount=1, edge=self.edge),
            Line(resource="cores", amount=self.cap.cores, edge=self.edge),
            Line(resource="memory", amount=float(self.cap.memory), edge=self.edge),
        )

    def last_known(self) -> ClusterReport:
        """Return what we can say while the edge says nothing."""
        return ClusterReport(name=self.name or self.id, status=self.status, start_time=int(self.created_at * 1000))
