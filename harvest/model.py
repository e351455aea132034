"""The nouns of harvests. Frozen values, validated at construction; nothing here does I/O."""

from typing import Literal

import msgspec

from edges.model import Json, Query
from harvest.settings_executors import ExecutorName
from quotas.model import Charge, Refusal


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our values: immutable, keyword-only, strict when decoded."""


Integrity = Literal["require", "prefer", "size"]
"""``require``: only assets with a checksum that we can check. ``prefer``: checked where there is one.
``size``: the length alone decides. The SHA-256 of what was copied is told in every case."""

OrderState = Literal[
    "PENDING_ESTIMATE",
    "WAITING_APPROVAL",
    "WAITING_QUOTA",
    "ACTIVE",
    "OK",
    "STUCK",
    "SUSPENDED",
    "EXPIRED",
    "CANCELLED",
]
ObjectState = Literal[
    "WANTED", "ORDERED", "CLAIMED", "TRANSFERRING", "VERIFYING", "AVAILABLE", "BAD", "NO_SOURCE", "DELETING"
]


Content = Literal["data", "catalogue"]
"""``data``: the assets are copied. ``catalogue``: only the items are, and their assets stay where they are."""

EVENTS = ("completed", "stuck", "expiring", "expired", "cancelled", "waiting")
"""What can be told by webhook."""

PRIORITIES = range(1, 6)
"""5 is the most urgent."""


class Notify(Value, frozen=True):
    """Whom to tell of what. ``kind`` is ``cloudevent``, or the name of a callback of the OGC API.

    ``secret`` is the name of a key in the configuration that signs it; the key itself is never here.
    """

    url: str
    events: tuple[str, ...] = ("completed", "stuck", "expiring", "expired", "cancelled")
    secret: str = ""
    kind: Literal["cloudevent", "successUri", "inProgressUri", "failedUri"] = "cloudevent"


class OrderRequest(Value, frozen=True):
    """What is asked for: which items, which assets, and where to.

    Limit and order of ``query`` are ignored.

    ``assets`` are asset keys; None means all. ``prefix`` is put below the charging group's own folder of the
    bucket, and may be a template (``{collection}/{item_id}/``); without one, objects lie in the pool that all
    groups share. ``bucket`` must be the target's own. ``lifetime`` (seconds) is how long the order counts on
    its copies: what nobody counts on is deleted. ``temporary`` copies are in no catalogue, and read by signed
    links only. ``executor`` carries the bytes (None: whoever does by the configuration).
    """

    query: Query
    target: str
    assets: tuple[str, ...] | None = None
    bucket: str | None = None
    prefix: str | None = None
    integrity: Integrity = "prefer"
    content: Content = "data"
    lifetime: float | None = None
    priority: int = 3
    temporary: bool = False
    notify: tuple[Notify, ...] = ()
    executor: ExecutorName | None = None

    def __post_init__(self) -> None:
        if self.lifetime is not None and not self.lifetime > 0:
            raise ValueError(f"lifetime must be more than 0 seconds, got {self.lifetime}")
        if self.priority not in PRIORITIES:
            raise ValueError(f"priority must be within 1 and 5, got {self.priority}")


class FoundItem(Value, frozen=True):
    """One item of a search: as the site told it, with ``site`` the one whose copy stands first."""

    site: str
    item: Json


class Source(Value, frozen=True):
    """One place to read an asset from. ``site`` may be empty where the item does not tell.

    ``own``: the site tells this address of itself, and is asked for it with the credentials that it wants.
    """

    site: str
    href: str
    own: bool = False


class Wanted(Value, frozen=True):
    """One asset to be copied.

    ``size`` in bytes and ``checksum`` (multihash, hex) stand where they are announced.
    """

    collection: str
    item_id: str
    asset: str
    key: str
    media_type: str
    sources: tuple[Source, ...]
    size: int | None = None
    checksum: str | None = None


class Selection(Value, frozen=True):
    """What of some found items has to be copied.

    ``held`` are assets that the target has already; ``skipped`` are those that cannot be copied, with
    reasons.
    """

    wanted: tuple[Wanted, ...] = ()
    held: tuple["Held", ...] = ()
    skipped: tuple["Failure", ...] = ()

    @property
    def present(self) -> int:
        """Return how many assets the target has already."""
        return len(self.held)


class Held(Value, frozen=True):
    """An asset that is at the target already."""

    collection: str
    item_id: str
    asset: str


class Failure(Value, frozen=True):
    """One thing that was not copied or registered, and why. ``asset`` is empty for a whole item."""

    collection: str
    item_id: str
    asset: str
    reason: str


class Estimate(Value, frozen=True):
    """What an order would cost. ``bytes`` includes a guess for the ``unknown`` objects that tell no size.

    ``seconds`` is how long it may take, by how fast the latest orders came (None: not known). ``approval``:
    an administrator would have to approve it.
    """

    items: int
    objects: int
    bytes: int
    unknown: int
    present: int
    skipped: tuple[Failure, ...] = ()
    refusal: Refusal | None = None
    approval: bool = False
    seconds: float | None = None


class Progress(Value, frozen=True):
    """How far an order is.

    Sizes in bytes, ``rate`` in bytes per second, ``eta`` in seconds (None: not known).
    """

    items: int = 0
    items_done: int = 0
    objects: int = 0
    objects_done: int = 0
    objects_failed: int = 0
    bytes: int = 0
    bytes_done: int = 0
    present: int = 0
    rate: float = 0.0
    eta: float | None = None

    @property
    def percent(self) -> int:
        """Return whole per cent of the work, by bytes, and by objects where no bytes are known."""
        done, total = (self.bytes_done, self.bytes) if self.bytes else (self.objects_done, self.objects)
        return 100 if not total else min(100, 100 * done // total)


class Order(Value, frozen=True):
    """One order as it stands. Times are in epoch seconds."""

    id: str
    charge: Charge
    request: OrderRequest
    state: OrderState
    message: str
    created: float
    updated: float
    started: float | None
    finished: float | None
    settled: bool
    progress: Progress
    rule: str | None = None
    copies_until: float | None = None

    def measured(self, progress: Progress) -> "Order":
        """Return the order with its progress replaced by one that tells the speed too."""
        return msgspec.structs.replace(self, progress=progress)


class JobFilter(Value, frozen=True):
    """Which orders are listed: those created within ``since`` and ``until`` (epoch seconds), that ran as long.

    ``least`` and ``most`` are seconds between start and end (or now). ``before`` is where a page ended.
    """

    group: str | None = None
    states: tuple[OrderState, ...] | None = None
    since: float | None = None
    until: float | None = None
    least: float | None = None
    most: float | None = None
    before: tuple[float, str] | None = None


class ObjectResult(Value, frozen=True):
    """What became of one asset: where it is now, or why not. ``link`` reads it without credentials, for a while."""

    collection: str
    item_id: str
    asset: str
    state: ObjectState
    href: str | None = None
    size: int | None = None
    checksum: str | None = None
    reason: str = ""
    link: str | None = None


class Results(Value, frozen=True):
    """What an order brought: per-object results (a page of them), and what failed as a whole item."""

    order_id: str
    objects: tuple[ObjectResult, ...]
    failures: tuple[Failure, ...]
    next: int | None = None
