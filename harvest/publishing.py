"""The end of a transfer, and what is undone of one: checked, completed, seen to be there, or discarded."""

import contextlib
from collections.abc import Mapping, Sequence

from edges.errors import Conflict, NotFound
from edges.model import Part
from harvest import multihash
from harvest.claims import ObjectClaim
from harvest.desk import Desk
from harvest.digest import Digest
from harvest.seams import Checkpoint, Place, TargetStore

VERSION = "lakegate-version"
"""Metadata that says for which wish an object was written."""


class Publisher:
    """Makes objects visible that were checked; keeps nothing between them."""

    def __init__(self, *, desk: Desk, places: Mapping[str, Place], checkpoint: Checkpoint) -> None:
        self._desk = desk
        self._places = places
        self._checkpoint = checkpoint

    def store(self, claim: ObjectClaim) -> TargetStore:
        """Return the store that an object goes to."""
        return self._places[claim.target].store

    async def checked(self, claim: ObjectClaim, total: int, told: str | None) -> None:
        """Write down that all bytes are right."""
        await self._desk.checked(claim, total, told)
        self._checkpoint("checked")

    async def available(self, claim: ObjectClaim, *, moved: int = 0) -> None:
        """Write down that the object can be read."""
        await self._desk.available(claim, moved)
        self._checkpoint("available")

    async def complete(self, claim: ObjectClaim, upload_id: str, parts: Sequence[Part], *, absent: bool) -> None:
        """Make the object visible; where another writer was first, only if theirs are not the same bytes.

        ``absent``: nothing was there when the upload began.
        """
        store = self.store(claim)
        try:
            await store.complete_upload(claim.key, upload_id, parts, if_absent=absent)
        except Conflict:
            if await self.visible(claim):
                await store.abort_upload(claim.key, upload_id)
            else:
                await store.complete_upload(claim.key, upload_id, parts)

    async def visible(self, claim: ObjectClaim, *, written: bool = False) -> bool:
        """Tell whether the bytes that were checked are what the target shows.

        ``written``: we have just done so ourselves, and the length is enough.
        """
        current = await self._desk.current(claim)
        info = await self.store(claim).head(claim.key)
        if info is None or info.size != current.total:
            return False
        if written or info.metadata.get(VERSION) == claim.version:
            return True
        known = multihash.parse(current.digest)
        if known is None:
            return False
        found = Digest(known)  # a store that keeps no metadata: the bytes themselves must tell
        async for piece in self.store(claim).get(claim.key):
            found.update(piece)
        return found.matches()

    async def publish_again(self, claim: ObjectClaim) -> bool:
        """Finish an object whose bytes were all checked before; tell False where they are gone."""
        if claim.upload_id is not None:
            parts = await self._desk.parts(claim)
            with contextlib.suppress(NotFound):  # it may have been completed, and then is visible
                await self.complete(claim, claim.upload_id, parts, absent=False)
        if not await self.visible(claim):
            return False
        await self.available(claim, moved=0 if claim.upload_id else claim.total or 0)
        return True

    async def discard(self, claim: ObjectClaim) -> ObjectClaim:
        """Abort what is up of an object and forget it; return the claim as it stands then."""
        current = await self._desk.current(claim)
        if current.upload_id is None:
            return current
        await self.store(claim).abort_upload(claim.key, current.upload_id)
        self._checkpoint("upload-aborted")
        await self._desk.upload_gone(claim)
        return await self._desk.current(claim)

    async def sweep(self, claim: ObjectClaim) -> None:
        """Abort each upload of this object's key: a worker may have died before it wrote its own down."""
        store = self.store(claim)
        for key, upload_id in await store.list_uploads(claim.key):
            if key == claim.key:
                await store.abort_upload(key, upload_id)

    async def erase(self, claim: ObjectClaim) -> None:
        """Delete an object that nobody counts on any more."""
        await self.store(claim).delete(claim.key)
        self._checkpoint("deleted")
