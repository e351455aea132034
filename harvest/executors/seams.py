"""What an executor is: starts workers for a run, tells how they are, ends them."""

from typing import ClassVar, Literal, Protocol

from harvest.errors import HarvestError
from harvest.model import Value

Health = Literal["working", "done", "failed"]
"""``done``: its workers have ended well. ``failed``: they are gone, or never came."""


class ExecutorFailed(HarvestError):
    """An executor does not do what it is asked; it is asked again later."""

    status: ClassVar[int] = 502
    title: ClassVar[str] = "The executor failed"


class Errand(Value, frozen=True):
    """A run as its executor is told of it.

    ``url`` is the gateway's address as workers see it, ``token`` what they show there; it is good until the run ends.
    """

    run: str
    order: str
    target: str
    group: str
    user: str
    url: str
    token: str
    workers: int
    seconds: float


class Look(Value, frozen=True):
    """How a run's workers are, and in words why."""

    health: Health
    reason: str = ""


class Executor(Protocol):
    """Starts workers (``lakegate harvest-worker``) somewhere.

    Guarantees: each method can be repeated; a run that was started twice has its workers once.

    Raises:
        ExecutorFailed: not now.
    """

    async def start(self, errand: Errand) -> str:
        """Start a run's workers; return what they are found by."""
        ...

    async def look(self, errand: Errand, handle: str) -> Look:
        """Tell how they are."""
        ...

    async def stop(self, errand: Errand, handle: str) -> None:
        """End them and all that was made for them; ``handle`` is empty where none is known."""
        ...
