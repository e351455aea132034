"""What is kept of orders. Frozen values; times in seconds since 1970-01-01T00:00:00Z."""

import hashlib
import uuid

import msgspec

from edges.model import Frozen, Json
from edges.ordering.model import OrderStatus

ENDED: frozenset[OrderStatus] = frozenset({"succeeded", "failed", "canceled"})


class Notify(Frozen):
    """Who is told, by a POST to ``url``, signed with the key named ``secret``."""

    url: str
    secret: str = ""


class Staging(Frozen):
    """One order at a provider, whoever waits for it.

    ``handle`` is what the provider is asked by; None until it has taken the order. ``item`` is what was staged.
    ``due_at`` is when it is to be asked next, ``asked`` how often it was since something changed. Whoever holds the
    lease (``holder`` until ``held_until``) asks it, and nobody else. ``ends_at`` is when it is given up, or forgotten.
    ``orders`` are those that wait for it: they stand here, too, so that no gateway overlooks one of another.
    """

    id: str
    site: str
    collection: str
    parameters: Json
    made_at: float
    changed_at: float
    due_at: float
    ends_at: float
    status: OrderStatus = "ordered"
    handle: Json | None = None
    item: Json | None = None
    reason: str = ""
    asked: int = 0
    holder: str = ""
    held_until: float = 0.0
    orders: tuple[str, ...] = ()

    @property
    def interrupted(self) -> bool:
        """Tell whether its provider may have been asked for it, by who did not live to note the answer."""
        return self.handle is None and self.holder != ""

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.status in ENDED


class Order(Frozen):
    """One user's order: a view of a staging that others may share. ``withdrawn``: the user wants it no more."""

    id: str
    staging: str
    site: str
    collection: str
    user: str
    group: str
    made_at: float
    withdrawn: bool = False
    notify: tuple[Notify, ...] = ()


class Letter(Frozen):
    """An event on its way to who wants to be told of it."""

    id: str
    order: str
    type: str
    url: str
    secret: str
    data: Json
    made_at: float
    due_at: float
    attempts: int = 0
    held_until: float = 0.0


def key_of(staging: Staging) -> str:
    """Return what a staging's order is named by at its provider, however often it is given."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{staging.id}/{staging.made_at!r}"))


def digest_of(site: str, collection: str, parameters: Json) -> str:
    """Return what orders for the same data have in common."""
    told = msgspec.json.encode([site, collection, parameters], order="deterministic")
    return hashlib.sha256(told).hexdigest()[:40]
