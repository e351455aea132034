"""What is said about orders: the seam of sites that take them, and their errors. Nothing here does I/O."""

from typing import Any, ClassVar, Literal, Protocol

from edges.errors import EdgeError
from edges.model import Frozen, Json

OrderStatus = Literal["ordered", "shipping", "succeeded", "failed", "canceled"]
"""The words of the STAC order extension v1.1.0 for an order that was given (``pending`` is told as ``ordered``)."""

_WORDS: dict[str, OrderStatus] = {
    **dict.fromkeys(("ordered", "pending", "accepted", "submitted", "queued", "created", "orderable"), "ordered"),
    **dict.fromkeys(("shipping", "running", "processing", "in_progress", "staging", "started"), "shipping"),
    **dict.fromkeys(("succeeded", "successful", "success", "completed", "complete", "finished", "online"), "succeeded"),
    **dict.fromkeys(("failed", "failure", "error", "rejected"), "failed"),
    **dict.fromkeys(("canceled", "cancelled", "dismissed", "deleted", "aborted"), "canceled"),
}


def status_of(word: Any) -> OrderStatus | None:
    """Return what a provider's word for an order's status means; None where nobody knows.

    >>> status_of("Running"), status_of("accepted"), status_of(None)
    ('shipping', 'ordered', None)
    """
    return _WORDS.get(word.strip().lower()) if isinstance(word, str) else None


class OrderReport(Frozen):
    """How an order is at its provider.

    ``handle`` is all that is needed to ask again, after a restart, too. ``item`` is the STAC item of what was staged,
    once it ``succeeded``. ``reason`` is the provider's word where it failed. ``pause`` is after how many seconds the
    provider wants to be asked again.
    """

    status: OrderStatus
    handle: Json
    item: Json | None = None
    reason: str = ""
    pause: float | None = None


class Ordering(Protocol):
    """A site that stages data on order.

    Every method may raise :class:`edges.errors.SiteUnavailable` (worth trying again) or
    :class:`edges.errors.SiteMisbehaved`.
    """

    @property
    def repeats(self) -> bool:
        """Tell whether an order may be given again under its key where nobody knows whether it was taken."""
        ...

    async def place(self, collection: str, parameters: Json, *, key: str = "") -> OrderReport:
        """Give an order. ``parameters`` are in the provider's words, or name an item by ``id``.

        ``key`` names the order: one that is given again under the same key, since nobody knows whether the provider
        has taken it, is the same order to providers that can tell.

        Raises:
            OrderRefused: the provider does not take it, and will not if it is asked again.
            OrderUnknown: it was asked, and it is not known whether it took it; only where it does not ``repeat``.
        """
        ...

    async def look(self, handle: Json) -> OrderReport:
        """Ask how an order is."""
        ...

    async def cancel(self, handle: Json) -> bool:
        """Withdraw an order; tell whether the provider can do that. Idempotent."""
        ...


class OrderRefused(EdgeError):
    """The provider does not take an order, for a reason that is told to who gave it."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "The provider refused the order"

    def __init__(self, site: str, reason: str) -> None:
        super().__init__(f"{site}: {reason}")
        self.site = site
        self.reason = reason
        self.members: Json = {"sites": {site: {"code": "refused", "status": 400, "reason": reason}}}


class OrderUnknown(EdgeError):
    """A provider was asked, and nobody knows whether it took the order: given again it might be done twice."""

    status: ClassVar[int] = 504
    title: ClassVar[str] = "It is not known whether the provider took the order"

    def __init__(self, site: str, reason: str) -> None:
        self.site = site
        self.reason = f"{reason}; the provider may have taken the order, and was not asked again: order anew if needed"
        super().__init__(f"{site}: {self.reason}")
