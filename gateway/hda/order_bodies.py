"""The bodies of orders: those that items offer, and those that clients send. Pure.

EODAG writes a body as Python does, turns each apostrophe into a quotation mark and reads it again, as part of an
address: so a body that is offered holds texts, numbers, lists and objects only, and no text that this would break.
"""

import re
from typing import Any

from edges.errors import InvalidInput
from edges.model import Frozen, Json

BACKENDS = "federation:backends"
ITEM = "id"
"""The member by which a body names the item that is ordered."""
VIA = "federation:via"
"""Which backend is meant of those that lie behind the backend."""
PREFIX = "ecmwf:"
NOTIFY = "order:notify"
MAX_PARAMETERS = 200
MAX_DEPTH = 8

_BROKEN = re.compile(r"['\"#?&%+\\]|[^\x20-\x7e]")


class OrderAsked(Frozen):
    """An order as a client sends it: ``parameters`` in the provider's words, the ``backends`` that it names."""

    parameters: Json
    backends: tuple[str, ...] = ()
    notify: Any = None


def order_body(told: Any, item_id: str, backend: str) -> Json:
    """Return the body by which an item is ordered from a backend: the provider's own, or one that names the item."""
    parameters = dict(told) if isinstance(told, dict) and told and survives(told) else {ITEM: item_id}
    behind = parameters.pop(BACKENDS, None)
    if behind is not None:
        parameters[VIA] = behind
    return parameters | {BACKENDS: [backend]}


def survives(value: Any, depth: int = 0) -> bool:
    """Tell whether a body comes through EODAG as it is."""
    if isinstance(value, bool) or value is None or depth > MAX_DEPTH:
        return False
    if isinstance(value, str):
        return _BROKEN.search(value) is None
    if isinstance(value, dict):
        return all(survives(name, depth + 1) and survives(each, depth + 1) for name, each in value.items())
    if isinstance(value, list):
        return all(survives(each, depth + 1) for each in value)
    return True


def order_asked(body: Json) -> OrderAsked:
    """Read an order; parameters may be written with the prefix of their properties, or without.

    Raises:
        InvalidInput: names the member, what was wrong and what would be right.
    """
    if len(body) > MAX_PARAMETERS:
        raise InvalidInput("body", f"{len(body)} parameters", f"at most {MAX_PARAMETERS}")
    told = body.get(BACKENDS) or []
    names = [told] if isinstance(told, str) else told
    if isinstance(names, dict):
        names = [names.get("eq")]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput(BACKENDS, repr(told)[:80], 'a list of one backend, such as ["cop_cds"]')
    parameters = {
        name.removeprefix(PREFIX): value
        for name, value in body.items()
        if name not in (BACKENDS, NOTIFY) and value is not None
    }
    return OrderAsked(parameters=parameters, backends=tuple(names), notify=body.get(NOTIFY))
