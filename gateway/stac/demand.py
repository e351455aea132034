"""What a client demands of a partial answer: all sites, some of them, or as much as there is. Pure."""

from collections.abc import Mapping
from typing import Any

from edges.errors import InvalidInput
from edges.model import Frozen

_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})
MAX_SITES = 100


class Demand(Frozen):
    """``strict``: no site may be missing; ``require``: none of these may."""

    strict: bool = False
    require: tuple[str, ...] = ()


def demand_of(given: Mapping[str, Any], parameters: Mapping[str, str]) -> Demand:
    """Read ``strict`` and ``require`` of a body, else of the address.

    Raises:
        InvalidInput: one of them is neither what its member nor what its parameter may be.
    """
    return Demand(
        strict=_truth(given.get("strict", parameters.get("strict"))),
        require=_sites(given.get("require", parameters.get("require"))),
    )


def _truth(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise InvalidInput("strict", f"got {value!r}"[:80], "true or false")


def _sites(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > MAX_SITES:
        raise InvalidInput("require", f"got {value!r}"[:80], f"ids of at most {MAX_SITES} sites")
    return tuple(dict.fromkeys(name for name in names if name))
