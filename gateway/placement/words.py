"""What placement says to a person, and the arithmetic of moving data. Pure."""

from collections.abc import Sequence

from edges.model import Frozen
from gateway.placement.holdings import Holding, Holdings

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR = 60, 3600


class Moving(Frozen):
    """How fast data comes from another site, and from tape, in bytes a second: for estimates only."""

    bytes_per_second: float = 100e6
    recall_bytes_per_second: float = 20e6

    def seconds(self, *, missing: int, slow: int) -> float:
        """Return how long it takes to read what is missing from elsewhere, and to recall what is slow."""
        return missing / self.bytes_per_second + slow / self.recall_bytes_per_second


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


def duration(seconds: float) -> str:
    """Say a time to a person.

    >>> duration(0.2), duration(90), duration(7300)
    ('1 s', '2 min', '2.0 h')
    """
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < _HOUR else f"{seconds / _HOUR:.1f} h"


def said_of_holding(holding: Holding, holdings: Holdings, seconds: float) -> tuple[str, ...]:
    """Say what an edge holds; ``seconds`` is what moving the rest is estimated to take."""
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
        said.append(f"{size(holding.estimated)} of that are estimates: their items do not tell their size")
    if holding.slow_items:
        said.append(f"{holding.slow_items} items ({size(holding.slow_bytes)}) are on tape and must be recalled")
    missing = max(0, holdings.bytes - holding.bytes)
    if 0 < holding.items < holdings.items:
        said.append(f"{size(missing)} would be read from elsewhere")
    if seconds >= 1:
        said.append(f"moving and recalling takes about {duration(seconds)}")
    if holdings.unmeasured:
        said.append(f"of {holdings.unmeasured} items nobody knows the size")
    if holdings.cut:
        said.append(f"only the first {holdings.items} items were weighed")
    return tuple(said)


def advice(
    reasons: Sequence[tuple[str, tuple[str, ...]]], holdings: Holdings, lacking: Sequence[str]
) -> tuple[str, ...]:
    """Say each reason once, with the edges that it holds for, and which edge could be given the data."""
    edges: dict[str, list[str]] = {}
    for edge, said in reasons:
        edges.setdefault("; ".join(said), []).append(edge)
    told = tuple(f"{', '.join(names)}: {reason}" for reason, names in edges.items())
    if lacking:
        return (*told, f"harvest {holdings.items} items ({size(holdings.bytes)}) to {lacking[0]} first")
    return told or ("no edge is configured",)
