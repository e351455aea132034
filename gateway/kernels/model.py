"""The nouns of the Jupyter face. Frozen values."""

import re
from datetime import UTC, datetime
from typing import Literal

from edges.compute.model import KernelModel
from edges.model import Frozen, Json
from quotas.model import Charge, Line

State = Literal["starting", "live", "ending"]
"""``starting``: the intent is written, the edge may or may not have the kernel. ``live``: the edge has it.
``ending``: it must end, and its lease lives until the edge says that it has; then the record goes."""

LEASE_PREFIX = "k-"
"""How the keys of kernels' leases begin."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class KernelRecord(Frozen):
    """One kernel of ours: whose it is, which no kernel gateway knows.

    ``id`` is ours and is known before the edge is asked; ``kernel_id`` is the edge's. ``spec`` is the edge's own name
    of the kernelspec. ``created_at`` is in epoch seconds; ``last`` is what the edge last said.
    """

    id: str
    user: str
    charging_group: str
    edge: str
    spec: str
    lease: str
    created_at: float
    gpus: float = 0.0
    state: State = "starting"
    kernel_id: str | None = None
    last: KernelModel | None = None

    @property
    def charge(self) -> Charge:
        """Return who pays."""
        return Charge(group=self.charging_group, user=self.user)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Return what is reserved while the kernel lives."""
        gpus = (Line(resource="gpus", amount=self.gpus, edge=self.edge),) if self.gpus else ()
        return (Line(resource="kernels", amount=1, edge=self.edge), *gpus)

    def shown(self, model: KernelModel | None) -> Json:
        """Return the kernel as clients see it; ``None`` stands for an edge that says nothing.

        A Jupyter server drops a kernel that is not in the list, and cannot read instants in another form than its own.
        """
        last = model or self.last
        activity = last.last_activity if last is not None else ""
        if not _INSTANT.fullmatch(activity):
            activity = datetime.fromtimestamp(self.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "id": self.kernel_id,
            "name": f"{self.spec}.{self.edge}",
            "last_activity": activity,
            "execution_state": "unknown" if model is None else model.execution_state,
            "connections": 0 if model is None else model.connections,
        }
