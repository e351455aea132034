"""What compute faces ask of placement: values and one verb."""

from collections.abc import Mapping
from typing import Protocol

from edges.model import Frozen
from gateway.principal import Principal


class ComputeNeed(Frozen):
    """What a piece of compute needs. ``items`` are item ids per collection; ``edge`` is a wish for that edge only.

    ``cores`` and ``memory`` (bytes) are what will be reserved at the chosen edge.
    """

    collections: tuple[str, ...] = ()
    items: Mapping[str, tuple[str, ...]] = {}
    edge: str | None = None
    cores: float = 0.0
    memory: int = 0


class PlacementDecision(Frozen):
    """The chosen edge, or None where none will do; ``reasons`` say why to a person either way."""

    edge: str | None
    reasons: tuple[str, ...] = ()


class Placer(Protocol):
    """Chooses edges for compute.

    Guarantees: the chosen edge satisfies the need's ``edge`` where it names one; a refusal has at least one reason;
    nothing is reserved.
    """

    async def place(self, need: ComputeNeed, principal: Principal) -> PlacementDecision:
        """Choose an edge."""
        ...
