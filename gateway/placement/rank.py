"""Ranks edges for a need and says why. Pure and deterministic: the same facts give the same words."""

from collections.abc import Mapping, Sequence

import msgspec

from edges.model import Frozen, Json
from gateway.placement.holdings import Holding, Holdings
from gateway.placement.words import Moving, duration, said_of_holding, size
from gateway.placement.words import advice as advice_of
from quotas.model import Refusal


class EdgeFacts(Frozen):
    """What is known of an edge.

    ``refused`` is why the group's quota does not let it in there, and ``refusal`` says it; ``waits`` why it has to
    wait there, where that helps. ``unfit`` says which wish the edge cannot fulfil. ``cores``, ``memory`` (bytes) and
    ``gpus`` are what the edge has in all, and ``free_*`` what of it is not taken; None where nobody has told.
    ``versions`` are of its software by name, ``images`` those that can be chosen there. ``harvestable``: data can be
    copied there.
    """

    id: str
    computes: bool
    available: bool
    priority: int = 100
    trouble: str = ""
    refusal: str = ""
    refused: Refusal | None = None
    waits: str = ""
    unfit: str = ""
    cores: float | None = None
    free_cores: float | None = None
    memory: int | None = None
    free_memory: int | None = None
    gpus: float | None = None
    free_gpus: float | None = None
    versions: Mapping[str, str] = {}
    images: tuple[str, ...] = ()
    harvestable: bool = True


class Demand(Frozen):
    """What is asked of an edge beside data: memory in bytes; ``versions`` by name, as a prefix (``dask: 2026.8``)."""

    cores: float = 0.0
    memory: int = 0
    gpus: float = 0.0
    image: str = ""
    versions: Mapping[str, str] = {}


class Candidate(Frozen):
    """One edge, with its holding, whether it may be chosen, and the reasons in words.

    ``waits``: it may be chosen, but the work has to wait there first. ``moving_seconds`` is what reading the missing
    from elsewhere, and the slow from tape, is estimated to take.
    """

    edge: str
    eligible: bool
    items: int
    bytes: int
    missing_items: int
    missing_bytes: int
    reasons: tuple[str, ...]
    estimated_bytes: int = 0
    slow_items: int = 0
    slow_bytes: int = 0
    moving_seconds: float = 0.0
    waits: bool = False
    free_cores: float | None = None
    images: tuple[str, ...] = ()
    versions: Mapping[str, str] = {}


class Placement(Frozen):
    """The ranked edges; ``edge`` is the choice, None where none will do, and then ``advice`` says what would help.

    ``harvest`` are requests that, sent as they are, bring the data to an edge that lacks it. ``refused`` is what the
    quota refuses where nothing else stands in the way.
    """

    edge: str | None
    candidates: tuple[Candidate, ...]
    items: int
    bytes: int
    advice: tuple[str, ...] = ()
    estimated_bytes: int = 0
    harvest: tuple[Json, ...] = ()
    refused: Refusal | None = None


def rank(
    holdings: Holdings,
    edges: tuple[EdgeFacts, ...],
    *,
    wish: str | None,
    about_data: bool,
    demand: Demand | None = None,
    moving: Moving | None = None,
) -> Placement:
    """Rank the edges: eligible first, then those where nothing has to wait, then by the cost of moving what is missing.

    Then most bytes held, most items, best priority, most free cores, id. ``wish`` names the only edge that may be
    chosen. ``about_data``: the need names data, so an edge that holds nothing of it is not eligible.
    """
    asked, rates = demand or Demand(), moving or Moving()
    moved = rates if about_data else None
    judged = [_judge(edge, holdings, wish, asked, moved) for edge in edges]
    priorities = {edge.id: edge.priority for edge in edges}
    ranked = tuple(
        sorted(
            judged,
            key=lambda one: (
                not one.eligible,
                one.waits,
                one.moving_seconds,
                -one.bytes,
                -one.items,
                priorities[one.edge],
                -(one.free_cores or 0.0),
                one.edge,
            ),
        )
    )
    chosen = ranked[0].edge if ranked and ranked[0].eligible else None
    targets = frozenset(edge.id for edge in edges if edge.harvestable and edge.computes)
    return Placement(
        edge=chosen,
        candidates=ranked,
        items=holdings.items,
        bytes=holdings.bytes,
        estimated_bytes=holdings.estimated,
        advice=() if chosen is not None else _advice(ranked, holdings, wish, targets if about_data else None),
        refused=None if chosen is not None else _in_the_way(edges, holdings, wish, asked, moved),
    )


def any_of(refusals: Sequence[Refusal]) -> Refusal | None:
    """Join refusals of which any one need not stand: those that end by themselves count, and the first to end.

    None where there are none.
    """
    told = [each for each in refusals if not each.never] or refusals
    if not told:
        return None
    waits = [each.retry_after for each in told if each.retry_after is not None]
    violated = dict.fromkeys(explanation for each in told for explanation in each.violated)
    return Refusal(violated=tuple(violated), retry_after=min(waits, default=None))


def harvest_targets(placement: Placement, edges: tuple[EdgeFacts, ...], wish: str | None) -> tuple[str, ...]:
    """Return the edges that a harvest would make fit: they lack nothing but the data. The wished one alone, if any."""
    able = {
        edge.id
        for edge in edges
        if edge.harvestable and edge.computes and edge.available and not edge.refusal and not edge.unfit
    }
    return tuple(
        one.edge
        for one in placement.candidates
        if one.edge in able and one.missing_items and (wish is None or one.edge == wish)
    )


def _judge(edge: EdgeFacts, holdings: Holdings, wish: str | None, demand: Demand, moving: Moving | None) -> Candidate:
    holding = holdings.at(edge.id)
    obstacles = _obstacles(edge, holding, wish, about_data=moving is not None) + _lacks(edge, demand)
    waits = [] if obstacles else _waits(edge, demand)
    missing = max(0, holdings.bytes - holding.bytes)
    seconds = moving.seconds(missing=missing, slow=holding.slow_bytes) if moving is not None else 0.0
    said = said_of_holding(holding, holdings, seconds) if moving is not None else ()
    reasons = (*said, *obstacles, *waits, *_offers(edge, demand))
    return Candidate(
        edge=edge.id,
        eligible=not obstacles,
        items=holding.items,
        bytes=holding.bytes,
        missing_items=holdings.items - holding.items,
        missing_bytes=missing,
        reasons=reasons or ("no data was named; the edge is up and within quota",),
        estimated_bytes=holding.estimated,
        slow_items=holding.slow_items,
        slow_bytes=holding.slow_bytes,
        moving_seconds=round(seconds, 3),
        waits=bool(waits),
        free_cores=edge.free_cores,
        images=edge.images,
        versions=edge.versions,
    )


def _in_the_way(
    edges: Sequence[EdgeFacts], holdings: Holdings, wish: str | None, demand: Demand, moving: Moving | None
) -> Refusal | None:
    """Return what the quota refuses at the edges that would do, were it not for it."""
    unbarred = [
        edge.refused
        for edge in edges
        if edge.refused is not None
        and _judge(msgspec.structs.replace(edge, refusal=""), holdings, wish, demand, moving).eligible
    ]
    return any_of(unbarred)


def _obstacles(edge: EdgeFacts, holding: Holding, wish: str | None, *, about_data: bool) -> list[str]:
    found = []
    if wish is not None and edge.id != wish:
        found.append(f"the request asks for {wish}")
    if not edge.computes:
        found.append("it has no compute of the kind asked for")
    if not edge.available:
        found.append(f"it does not answer: {edge.trouble}" if edge.trouble else "it does not answer")
    if about_data and not holding.items:
        found.append("it holds none of the items")
    if edge.refusal:
        found.append(edge.refusal)
    if edge.unfit:
        found.append(edge.unfit)
    return found


def _lacks(edge: EdgeFacts, demand: Demand) -> list[str]:
    """Say what the edge will never have: more than its whole size, another image, another version."""
    found = []
    for name, asked, has, unit in _amounts(edge, demand, free=False):
        if has is not None and asked > has:
            found.append(f"it has {_amount(has, unit)} of {name}; {_amount(asked, unit)} are asked for")
    if demand.gpus and edge.gpus is None:
        found.append("it has no GPUs")
    if demand.image and demand.image not in edge.images:
        offered = ", ".join(edge.images) or "none to choose"
        found.append(f"it does not offer image {demand.image[:100]!r}; images: {offered}")
    for name, asked_version in sorted(demand.versions.items()):
        there = edge.versions.get(name)
        if there is None or not f"{there}.".startswith(f"{asked_version.rstrip('.')}."):
            found.append(f"{name} {asked_version} is asked for; it has {there or 'not told which'}")
    return found


def _waits(edge: EdgeFacts, demand: Demand) -> list[str]:
    found = [edge.waits] if edge.waits else []
    for name, asked, free, unit in _amounts(edge, demand, free=True):
        if free is not None and asked > free:
            found.append(
                f"{_amount(free, unit)} of {name} are free now; {_amount(asked, unit)} are asked for: it waits"
            )
    return found


def _offers(edge: EdgeFacts, demand: Demand) -> list[str]:
    if edge.free_cores is None or edge.cores is None or not demand.cores:
        return []
    return [f"{edge.free_cores:g} of {edge.cores:g} cores are free"]


def _amounts(edge: EdgeFacts, demand: Demand, *, free: bool) -> tuple[tuple[str, float, float | None, str], ...]:
    if free:
        return (
            ("cores", demand.cores, edge.free_cores, ""),
            ("memory", demand.memory, edge.free_memory, "bytes"),
            ("GPUs", demand.gpus, edge.free_gpus, ""),
        )
    return (
        ("cores", demand.cores, edge.cores, ""),
        ("memory", demand.memory, edge.memory, "bytes"),
        ("GPUs", demand.gpus, edge.gpus, ""),
    )


def _amount(count: float, unit: str) -> str:
    return size(count) if unit == "bytes" else f"{count:g}"


def _advice(
    ranked: tuple[Candidate, ...], holdings: Holdings, wish: str | None, targets: frozenset[str] | None
) -> tuple[str, ...]:
    """Say what would help; ``targets`` are where data can be brought, None where no data is needed."""
    if wish is not None and all(one.edge != wish for one in ranked):
        return (f"unknown edge {wish!r}; edges: {', '.join(sorted(one.edge for one in ranked)) or 'none'}",)
    if targets is not None and not holdings.items:
        return ("no item matches the need at any site; widen the search or check the collection ids",)
    considered = [one for one in ranked if wish is None or one.edge == wish]
    lacking = [one.edge for one in considered if targets is not None and one.edge in targets and not one.items]
    return advice_of([(one.edge, one.reasons) for one in considered], holdings, lacking)


__all__ = ["Candidate", "Demand", "EdgeFacts", "Moving", "Placement", "duration", "harvest_targets", "rank", "size"]
