"""What compute faces ask of placement, and what placement asks of them: values and narrow verbs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from edges.model import Frozen, Json, Query
from gateway.principal import Principal
from quotas.model import Refusal

ComputeKind = Literal["cluster", "kernel", "any"]
"""What is to be started: it says which edges have compute of that kind, and what the quota is asked for."""


class ComputeNeed(Frozen):
    """What a piece of compute needs. ``items`` are item ids per collection; ``edge`` is a wish for that edge only.

    ``queries`` are searches; ``prefix`` is a bucket prefix (``s3://bucket/path/``). ``cores``, ``memory`` (bytes) and
    ``gpus`` are what will be reserved at the chosen edge. ``image`` and ``versions`` (by name, as a prefix) are of the
    software there. ``unfit`` says of edges why the asker knows them to be no choice.
    """

    kind: ComputeKind = "cluster"
    collections: tuple[str, ...] = ()
    items: Mapping[str, tuple[str, ...]] = {}
    queries: tuple[Query, ...] = ()
    prefix: str = ""
    edge: str | None = None
    cores: float = 0.0
    memory: int = 0
    gpus: float = 0.0
    image: str = ""
    versions: Mapping[str, str] = {}
    unfit: Mapping[str, str] = {}


class PlacementDecision(Frozen):
    """The chosen edge, or None where none will do; ``reasons`` say why to a person either way.

    ``waits``: there is no room at the edge now, but there will be. ``harvest`` are requests that, sent as they are,
    bring the data where it is missing. ``refusal`` is the quota's, where nothing else stands in the way.
    """

    edge: str | None
    reasons: tuple[str, ...] = ()
    waits: bool = False
    harvest: tuple[Json, ...] = ()
    refusal: Refusal | None = None


class Placer(Protocol):
    """Chooses edges for compute.

    Guarantees: the chosen edge satisfies the need's ``edge`` where it names one; a refusal has at least one reason;
    nothing is reserved.
    """

    async def place(self, need: ComputeNeed, principal: Principal) -> PlacementDecision:
        """Choose an edge."""
        ...


class Taken(Frozen):
    """What runs at an edge, added up: memory in bytes."""

    cores: float = 0.0
    memory: int = 0
    gpus: float = 0.0


class ComputeFacts(Frozen):
    """What an edge's compute says of itself. ``trouble`` is empty where it answers."""

    trouble: str = ""
    versions: Mapping[str, str] = {}
    images: tuple[str, ...] = ()
    taken: Taken = Taken()


class ComputeView(Protocol):
    """How the compute of the edges is.

    Guarantees: answers within seconds, from what was learned a moment ago; never raises for an edge's sake.
    """

    async def facts(self, principal: Principal, kind: ComputeKind) -> Mapping[str, ComputeFacts]:
        """Return what is known, by edge; an edge without compute of that kind is not in it."""
        ...


class Listed(Frozen):
    """Objects below a prefix at one site; ``cut``: there were more."""

    site: str
    objects: int
    bytes: int
    cut: bool = False


class Buckets(Protocol):
    """The buckets of the sites."""

    async def listed(self, bucket: str, prefix: str) -> Sequence[Listed]:
        """Count what is below a prefix at each site that has the bucket."""
        ...


def added_up(amounts: Iterable[Taken]) -> Taken:
    """Add up."""
    cores = memory = gpus = 0.0
    for each in amounts:
        cores += each.cores
        memory += each.memory
        gpus += each.gpus
    return Taken(cores=cores, memory=int(memory), gpus=gpus)
