"""Ranks edges for a need and says why. Pure and deterministic: the same facts give the same words."""

from edges.model import Frozen
from gateway.placement.holdings import Holding, Holdings

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class EdgeFacts(Frozen):
    """What is known of an edge. ``refusal`` says why the group's quota does not let it in there, if so."""

    id: str
    computes: bool
    available: bool
    priority: int = 100
    trouble: str = ""
    refusal: str = ""


class Candidate(Frozen):
    """One edge, with its holding, whether it may be chosen, and the reasons in words."""

    edge: str
    eligible: bool
    items: int
    bytes: int
    missing_items: int
    missing_bytes: int
    reasons: tuple[str, ...]


class Placement(Frozen):
    """The ranked edges; ``edge`` is the choice, None where none will do, and then ``advice`` says what would help."""

    edge: str | None
    candidates: tuple[Candidate, ...]
    items: int
    bytes: int
    advice: tuple[str, ...] = ()


def rank(holdings: Holdings, edges: tuple[EdgeFacts, ...], *, wish: str | None, about_data: bool) -> Placement:
    """Rank the edges: eligible first, then most bytes held, most items, best priority, id.

    ``wish`` names the only edge that may be chosen. ``about_data``: the need names data, so an edge that holds
    nothing of it is not eligible.
    """
    judged = [_judge(edge, holdings, wish, about_data=about_data) for edge in edges]
    priorities = {edge.id: edge.priority for edge in edges}
    ranked = tuple(
        sorted(judged, key=lambda one: (not one.eligible, -one.bytes, -one.items, priorities[one.edge], one.edge))
    )
    chosen = ranked[0].edge if ranked and ranked[0].eligible else None
    advice = () if chosen is not None else _advice(ranked, holdings, wish, about_data=about_data)
    return Placement(edge=chosen, candidates=ranked, items=holdings.items, bytes=holdings.bytes, advice=advice)


def _judge(edge: EdgeFacts, holdings: Holdings, wish: str | None, *, about_data: bool) -> Candidate:
    holding = holdings.at(edge.id)
    obstacles = tuple(_obstacles(edge, holding, wish, about_data=about_data))
    said = _said(holding, holdings) if about_data else ()
    return Candidate(
        edge=edge.id,
        eligible=not obstacles,
        items=holding.items,
        bytes=holding.bytes,
        missing_items=holdings.items - holding.items,
        missing_bytes=max(0, holdings.bytes - holding.bytes),
        reasons=(*said, *obstacles) or ("no data was named; the edge is up and within quota",),
    )


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
    return found


def _said(holding: Holding, holdings: Holdings) -> tuple[str, ...]:
    if not holdings.items or not holding.items:
        return ()
    share = 100 * holding.bytes / holdings.bytes if holdings.bytes else 100 * holding.items / holdings.items
    said = [
        (
            f"holds {holding.items} of {holdings.items} items, "
            f"{size(holding.bytes)} of {size(holdings.bytes)} ({share:.0f} %)"
        )
    ]
    if holding.estimated:
        said.append(f"{size(holding.estimated)} of that are estimated from the grids")
    if 0 < holding.items < holdings.items:
        said.append(f"{size(max(0, holdings.bytes - holding.bytes))} would be read from elsewhere")
    if holdings.cut:
        said.append(f"only the first {holdings.items} items were weighed")
    return tuple(said)


def _advice(
    ranked: tuple[Candidate, ...], holdings: Holdings, wish: str | None, *, about_data: bool
) -> tuple[str, ...]:
    if wish is not None and all(one.edge != wish for one in ranked):
        return (f"unknown edge {wish!r}; edges: {', '.join(sorted(one.edge for one in ranked)) or 'none'}",)
    if about_data and not holdings.items:
        return ("no item matches the need at any site; widen the search or check the collection ids",)
    told = _told([one for one in ranked if wish is None or one.edge == wish])
    unheld = next((one for one in ranked if (wish is None or one.edge == wish) and not one.items), None)
    if about_data and unheld is not None:
        return (*told, f"harvest {holdings.items} items ({size(holdings.bytes)}) to {unheld.edge} first")
    return told or ("no edge is configured",)


def _told(candidates: list[Candidate]) -> tuple[str, ...]:
    """Say each reason once, with the edges that it holds for."""
    edges: dict[str, list[str]] = {}
    for one in candidates:
        edges.setdefault("; ".join(one.reasons), []).append(one.edge)
    return tuple(f"{', '.join(names)}: {reason}" for reason, names in edges.items())


def size(count: float) -> str:
    """Say a number of bytes to a person.

    >>> size(60e9)
    '60.0 GB'
    """
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
