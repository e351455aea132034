"""The seam between the work on objects and what is written down about it.

A worker beside the database writes itself (:class:`harvest.desk_own.OwnDesk`); one that is far away tells the gateway
(:class:`harvest.desk_far.FarDesk`). The bytes go the same way in both cases.
"""

from collections.abc import Sequence
from typing import Protocol

from edges.model import Part
from harvest.claims import ObjectClaim
from harvest.states import ObjectEvent


class Desk(Protocol):
    """Gives out claims, and writes down how they go. Pauses in seconds, sizes in bytes.

    Guarantees: each method is one transaction, done when it returns, and may be repeated; nothing is written for a
    claim that another has taken over.

    Raises:
        ClaimLost: another has taken the claim over; stop.
        DatabaseUnavailable: nothing can be written down now; whether it was is not known.
        QuotaExceeded: by :meth:`cover` and :meth:`checked` alone.
    """

    async def take(self, most: int) -> Sequence[ObjectClaim]:
        """Claim the next object, or up to ``most`` small ones."""
        ...

    async def renew(self, claim: ObjectClaim) -> None:
        """Keep a claim alive."""
        ...

    async def current(self, claim: ObjectClaim) -> ObjectClaim:
        """Return the claim as it stands now."""
        ...

    async def parts(self, claim: ObjectClaim) -> Sequence[Part]:
        """Return the parts that were written down, by number."""
        ...

    async def cover(self, claim: ObjectClaim, needed: int, *, exact: bool) -> None:
        """Make sure that the payer has reserved ``needed`` bytes; raise QuotaExceeded where there is no room."""
        ...

    async def began(self, claim: ObjectClaim, upload_id: str, part_bytes: int, total: int | None) -> None:
        """Write down an upload that was created, from the claim's source."""
        ...

    async def part_done(self, claim: ObjectClaim, part: Part, done: int, hash_state: bytes | None) -> None:
        """Write down a part that the store has confirmed, the hash of all up to its end, and its bytes as moved."""
        ...

    async def upload_gone(self, claim: ObjectClaim) -> None:
        """Forget an upload that was aborted."""
        ...

    async def checked(self, claim: ObjectClaim, total: int, digest: str | None) -> None:
        """Write down that all ``total`` bytes came and are right, and are reserved: now they may be made visible."""
        ...

    async def available(self, claim: ObjectClaim, moved: int) -> None:
        """Write down that the object can be read; ``moved`` are bytes that were not told with parts."""
        ...

    async def ended(self, claim: ObjectClaim, event: ObjectEvent, reason: str) -> None:
        """Write down that nothing more is tried, and why."""
        ...

    async def put_off(self, claim: ObjectClaim, event: ObjectEvent, reason: str, pause: float) -> None:
        """Give a claim back, to be taken up again after a pause."""
        ...

    async def wait_for_quota(self, claim: ObjectClaim, reason: str, pause: float) -> None:
        """Let the payer wait for quota, and give the claim back."""
        ...

    async def deleted(self, claim: ObjectClaim) -> None:
        """Forget an object that was to be deleted, and is."""
        ...
