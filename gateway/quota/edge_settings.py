"""The file of ``lakegate site serve --escrow``: what an edge spends by itself, and for whom."""

from collections.abc import Mapping

from edges.model import Frozen
from edges.settings import Secret
from quotas.model import CONSUMED, RESOURCES, is_group

LEAST_SECONDS = 30.0
"""A slice must last longer than its margin by far, and than a try to renew it."""


class EdgeQuotaSettings(Frozen):
    """``gateway`` is its URL, ``edge`` our id there; ``edge_secret`` proves us, ``local_secret`` our own services.

    ``wants`` is what is set aside of each group (group: {resource: amount}), for ``slice_seconds`` at a time: so long
    we can go on when the gateway is gone. ``state`` is the file that remembers what was granted.
    """

    gateway: str
    edge: str
    edge_secret: Secret
    local_secret: Secret
    wants: Mapping[str, Mapping[str, float]]
    state: str = "edge-quota.sqlite"
    slice_seconds: float = 1800.0
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.gateway.startswith(("http://", "https://")):
            raise ValueError(f"gateway {self.gateway!r} is no http(s) URL")
        if not self.slice_seconds >= LEAST_SECONDS:
            raise ValueError(f"slice_seconds must be {LEAST_SECONDS:g} or more, got {self.slice_seconds}")
        for group, amounts in self.wants.items():
            if not is_group(group) or not amounts:
                raise ValueError(f"wants: {group!r} is no group path, or nothing is wanted of it")
            for resource in amounts:
                if resource not in RESOURCES:
                    raise ValueError(f"wants: {group}: resource {resource!r} is none of {', '.join(RESOURCES)}")


def used_up(amounts: Mapping[str, float]) -> bool:
    """Tell whether some of it is used up by spending, so that it must be settled now and then."""
    return any(resource in CONSUMED for resource in amounts)
