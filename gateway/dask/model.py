"""The nouns of the Dask face. Frozen values."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from edges.compute.model import ClusterReport
from edges.model import ClusterCap, EdgeUser, Frozen
from gateway.placement.seam import Taken, added_up
from quotas.model import Charge, Line

State = Literal["waiting", "creating", "live", "ending", "ended"]
"""``waiting``: there is no room yet, the edge was not asked. ``creating``: the intent is written, the edge may or may
not have the cluster. ``live``: the edge has it. ``ending``: it must end, and its lease lives until the edge says that
it has. ``ended``: nothing is held."""


LEASE_PREFIX = "c-"
"""How the ids of routes begin, and with them the keys of their leases."""


class Room(Frozen):
    """What an edge has for clusters in all: memory in bytes; None where nobody has told. No GPUs unless told."""

    cores: float | None = None
    memory: int | None = None
    gpus: float = 0.0

    def fits(self, taken: Iterable[Taken], more: Taken) -> bool:
        """Tell whether so much more fits."""
        whole = added_up([*taken, more])
        return (
            (self.cores is None or whole.cores <= self.cores)
            and (self.memory is None or whole.memory <= self.memory)
            and (not more.gpus or whole.gpus <= self.gpus)
        )


class Terms(Frozen):
    """What every cluster gets: the cap it can grow to, and times in seconds.

    A lease lives for ``lease_seconds`` without renewal; a cluster waits for room for ``queue_seconds`` at most.
    ``rooms`` is what the edges have in all, where somebody has told.
    """

    cap: ClusterCap
    lease_seconds: float = 60.0
    queue_seconds: float = 3600.0
    rooms: Mapping[str, Room] = {}

    @property
    def most_gpus(self) -> float:
        """Return how many GPUs the edge with the most of them has."""
        return max((room.gpus for room in self.rooms.values()), default=0.0)


class ClusterRoute(Frozen):
    """One cluster of ours, from the intent to its end.

    ``id`` is ours and is known before the edge is asked; ``name`` is the edge's. ``lease`` is the key in the ledger.
    ``status`` is the edge's last word; times are epoch seconds. ``options`` are what the edge is asked with, so that
    what waits can begin after a restart; ``told`` is why it failed, in words.
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
    options: Mapping[str, Any] = {}
    told: str = ""

    @property
    def open(self) -> bool:
        """Tell whether the cluster holds, or may hold, anything."""
        return self.state != "ended"

    @property
    def holds(self) -> bool:
        """Tell whether it takes room at its edge."""
        return self.state not in ("waiting", "ended")

    @property
    def takes(self) -> Taken:
        """Return what it may grow to."""
        return Taken(cores=self.cap.cores, memory=self.cap.memory, gpus=self.cap.gpus)

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
        gpus = (Line(resource="gpus", amount=self.cap.gpus, edge=self.edge),) if self.cap.gpus else ()
        return (
            Line(resource="clusters", amount=1, edge=self.edge),
            Line(resource="cores", amount=self.cap.cores, edge=self.edge),
            Line(resource="memory", amount=float(self.cap.memory), edge=self.edge),
            *gpus,
        )

    def last_known(self) -> ClusterReport:
        """Return what we can say while the edge says nothing."""
        return ClusterReport(name=self.name or self.id, status=self.status, start_time=int(self.created_at * 1000))
