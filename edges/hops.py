"""Gateways that federate gateways, perhaps in a circle: which of them a request has come through.

Each gateway adds its name to a header of what it asks of sites, and a search that has come around to a gateway that
it went through is answered there with nothing: who asked first gets that gateway's part without the detour. So any
graph of gateways answers, and no request runs in a circle. The hops follow a request through its tasks as a context
variable, as traces do.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

from edges.model import Frozen

HOPS = "Lakegate-Hops"
"""The header: names with commas between, the first gateway first."""
MAX_HOPS = 8
"""Longest way that a search is followed: who comes further has come around, in a circle of other names."""
_NAME = re.compile(r"[0-9a-f]{16}")


class Hops(Frozen):
    """The gateways that a request came through, and whether this one is among them."""

    names: tuple[str, ...] = ()
    around: bool = False


def name_of_gateway(key: bytes) -> str:
    """Return the name that all gateways of one signing key share, and that tells nothing of the key."""
    return blake2b(key, digest_size=8, person=b"lakegate-hops").hexdigest()


def read_hops(header: str, own: str) -> Hops:
    """Read the header of a request; what is no name of a gateway is passed over."""
    names = tuple(name for part in header.split(",")[: 4 * MAX_HOPS] if _NAME.fullmatch(name := part.strip()))
    return Hops(names=names[-MAX_HOPS:], around=own in names or len(names) >= MAX_HOPS)


_NOWHERE = Hops()
_CURRENT: ContextVar[Hops] = ContextVar("hops", default=_NOWHERE)


@contextmanager
def arriving(hops: Hops) -> Iterator[None]:
    """Let what is asked of sites within the context, and in the tasks that are started there, go on from here."""
    token = _CURRENT.set(hops)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def hops() -> Hops:
    """Return the way that the present request came."""
    return _CURRENT.get()


def came_around() -> bool:
    """Tell whether the present request has come through this gateway before: its sites are not asked again."""
    return _CURRENT.get().around
