"""What an operation changed, as the rows that a store must write."""

from typing import Any, Literal

from quotas.binding import Fact
from quotas.model import Charge, Entry, Frozen, Lease, Line
from quotas.records import Grant, Source, StoredPolicy

End = Literal["commit", "release", "expire"]


class Ended(Frozen):
    """A lease that has ended: how, and when (epoch seconds)."""

    lease: Lease
    how: End
    at: float


class Waiting(Frozen):
    """Somebody in the line: since when, with how many seconds of priority, and until when the place is kept."""

    key: str
    charge: Charge
    lines: tuple[Line, ...]
    ttl: float
    priority: float
    since: float
    expires_at: float
    why: str


class Share(Frozen):
    """What a user of a group has used of what others wait for, in seconds of the whole limit, as it was ``at``."""

    amount: float
    at: float


class Journal:
    """What changed since the last write, to be written in this order.

    ``revived``: keys of ended leases that are forgotten. ``ended``: leases that are open no more. ``opened``:
    leases to be written as they are now. ``stock`` and ``rates``: new values. ``spent``: (fact, span of a
    window, bucket) -> what is added. ``waiting``, ``policies`` (by source and name), ``grants``: as they are now, None
    where gone.
    """

    def __init__(self) -> None:
        self.revived: list[str] = []
        self.ended: dict[str, Ended] = {}
        self.opened: dict[str, Lease] = {}
        self.returned: dict[str, float] = {}
        self.entries: list[EntryRow] = []
        self.stock: dict[Fact, float] = {}
        self.spent: dict[tuple[Fact, int, int], float] = {}
        self.rates: dict[tuple[str, str], float] = {}
        self.waiting: dict[str, Waiting | None] = {}
        self.shares: dict[tuple[str, str], Share] = {}
        self.policies: dict[PolicyPlace, StoredPolicy | None] = {}
        self.grants: dict[str, Grant | None] = {}

    def add_spent(self, fact: Fact, span: int, bucket: int, amount: float) -> None:
        """Add to what was used in a bucket of a window."""
        place = (fact, span, bucket)
        self.spent[place] = self.spent.get(place, 0.0) + amount

    def __bool__(self) -> bool:
        return bool(
            self.opened or self.ended or self.entries or self.returned or self.waiting or self.policies or self.grants
        )


PolicyPlace = tuple[Source, str]
"""Where a policy comes from, and its name."""

EntryRow = tuple[int, float, str, str, str, str, str, str, float, float, float, str]
"""The fields of an :class:`quotas.model.Entry`, in order: quicker to make than the entry itself."""


def entry_of(row: EntryRow) -> Entry:
    """Make an entry of its row."""
    fields: dict[str, Any] = dict(zip(Entry.__struct_fields__, row, strict=True))
    return Entry(**fields)
