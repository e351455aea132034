"""PURE: GPUs of clusters. The user says how many a cluster may take in all; each worker takes so many of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from edges.errors import InvalidInput
from edges.model import Json

FIELD = "gpus"
"""Our own option: how many GPUs the cluster may take in all. They are reserved while it lives."""
WORKER_FIELD = "worker_gpus"
"""The option of edges with GPUs: how many each worker takes."""


def gpu_fields(most: float) -> list[Json]:
    """Return the option field, where any edge has GPUs: at most so many."""
    if most < 1:
        return []
    spec = {"type": "int", "min": 0, "max": int(most)}
    return [{"field": FIELD, "label": "GPUs in all", "default": 0, "spec": spec}]


def read_gpus(value: object, most: float) -> int:
    """Read how many GPUs a cluster shall be able to take; ``most`` is what the largest edge has.

    Raises:
        InvalidInput: it is no number, or no edge has so many.
    """
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        right = f"a whole number from 0 to {most:g}" if most >= 1 else "0: no edge has GPUs for clusters"
        raise InvalidInput(FIELD, f"got {value!r:.40}", right)
    return value


def with_gpus(chosen: Mapping[str, Any], gpus: int, *, edge: str, offered: Sequence[Json]) -> Json:
    """Return the options for an edge's workers so that they fit the GPUs of their cluster: one each by default.

    Raises:
        InvalidInput: workers with GPUs in a cluster without; or the edge has no such workers.
    """
    each = chosen.get(WORKER_FIELD) or 0
    if not gpus:
        if each:
            raise InvalidInput(FIELD, f"0, but {WORKER_FIELD} is {each!r:.40}", "how many GPUs the cluster may take")
        return dict(chosen)
    if not any(field.get("field") == WORKER_FIELD for field in offered):
        raise InvalidInput(FIELD, f"edge {edge} offers no workers with GPUs", "0, or another edge")
    return {**chosen, WORKER_FIELD: each or 1}
