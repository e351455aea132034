"""One object, from its source into the target's bucket: streamed, checked before it can be seen, resumable.

An object of at most one part is held in memory, checked, and put. A larger one goes up in parts; each
confirmed part is remembered together with the state of the hash, so that after a crash at most one part is
fetched again. The upload is completed only when length and checksum hold; otherwise it is aborted and nothing
was ever visible.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping

import msgspec

from edges.errors import Conflict, NotFound, SiteMisbehaved
from edges.model import Part
from edges.storage.s3 import Whole
from harvest import claims
from harvest.admission import Admission
from harvest.claims import ObjectClaim
from harvest.database import Connection, Journal
from harvest.digest import Digest
from harvest.errors import ClaimLost, SourceChanged, SourceFailed, WrongBytes
from harvest.estimate import part_size
from harvest.model import Source
from harvest.seams import Place, TargetStore
from harvest.sources import Reading, Sources
from harvest.upload import MAX_PARTS, Upload, expected, fresh, resumed

VERSION = "lakegate-version"
"""Metadata that says for which wish an object was written."""

WRONG_TRIES = 2
"""How often one source may deliver wrong bytes before it is given up."""


class Transfer:
    """Carries out claims on objects; keeps nothing between them. ``checkpoint`` is told after each write."""

    def __init__(
        self,
        *,
        journal: Journal,
        places: Mapping[str, Place],
        sources: Sources,
        admission: Admission,
        part_bytes: int,
    ) -> None:
        self._database = journal.database
        self._places = places
        self._sources = sources
        self._admission = admission
        self._part_bytes = part_bytes
        self._clock = journal.clock
        self._checkpoint = journal.checkpoint

    async def fetch(self, claim: ObjectClaim, source: Source) -> None:
        """Copy an object from one source.

        Raises:
            SourceFailed: the source did not deliver, or not the right bytes; nothing of it is left behind.
            NotYet: the source asks to come back later.
            QuotaExceeded: the object turned out larger than reserved, and there is no room.
            EdgeError: the target store refuses or does not answer; what is up stays, to be gone on with.
            ClaimLost: another has taken over.
        """
        wrong = changed = 0
        while True:
            try:
                return await self._attempt(claim, source)
            except WrongBytes:
                wrong += 1
                if wrong >= WRONG_TRIES:
                    raise
            except SourceChanged:
                changed += 1
                if changed >= self._sources.patience.attempts:
                    raise
            claim = await self.discard(claim)

    async def discard(self, claim: ObjectClaim) -> ObjectClaim:
        """Abort what is up of an object and forget it; return the claim as it stands then."""
        current = await self._database.run(lambda c: claims.current(c, claim))
        if current.upload_id is None:
            return current
        await self._store(claim).abort_upload(claim.key, current.upload_id)
        self._checkpoint("upload-aborted")
        await self._database.run(lambda c: claims.forget_upload(c, claim))
        return await self._database.run(lambda c: claims.current(c, claim))

    async def sweep(self, claim: ObjectClaim) -> None:
        """Abort each upload of this object's key: a worker may have died before it wrote its own down."""
        store = self._store(claim)
        for key, upload_id in await store.list_uploads(claim.key):
            if key == claim.key:
                await store.abort_upload(key, upload_id)

    async def erase(self, claim: ObjectClaim) -> None:
        """Delete an object that nobody counts on any more."""
        await self._store(claim).delete(claim.key)
        self._checkpoint("deleted")

    async def publish_again(self, claim: ObjectClaim) -> bool:
        """Finish an object whose bytes were all checked before; tell False where they are gone."""
        if claim.upload_id is not None:
            parts = await self._database.run(lambda c: claims.parts_of(c, claim))
            with contextlib.suppress(NotFound):  # it may have been completed, and then is visible
                await self._complete(claim, claim.upload_id, parts, absent=False)
        if not await self._visible(claim):
            return False
        await self._available(claim)
        return True

    # -- one attempt at one source -------------------------------------------------------------------------

    async def _attempt(self, claim: ObjectClaim, source: Source) -> None:
        upload = await self._resume(claim, source)
        if upload is None:
            claim = await self.discard(claim)
        elif upload.start == claim.total:
            return await self._conclude(claim, upload, upload.start)
        start, validator = (upload.start, claim.validator) if upload else (0, None)
        async with self._sources.reading(source, start=start, validator=validator) as reading:
            if upload is not None and reading.validator != claim.validator:
                raise SourceChanged
            claim = msgspec.structs.replace(claim, source=source, validator=reading.validator)
            _check_announced(claim, reading)
            if reading.total is not None:
                await self._admission.cover(claim.id, reading.total, exact=True)
            size = upload.part_bytes if upload else part_size(reading.total, self._part_bytes)
            first = await reading.read_part(size)
            if upload is None and len(first) < size:
                return await self._single(claim, reading, first)
            upload = upload or await self._begin(claim, reading, size)
            await self._parts(claim, reading, upload, first)
        return await self._conclude(claim, upload, reading.position)

    async def _conclude(self, claim: ObjectClaim, upload: Upload, total: int) -> None:
        """Check an upload whose bytes are all there, and make it visible."""
        _check_arrived(claim, total, upload.digest)
        await self._checked(claim, total, upload.digest)
        await self._complete(claim, upload.id, upload.parts(), absent=upload.absent)
        self._checkpoint("completed")
        if not await self._visible(claim, written=True):
            raise SiteMisbehaved(claim.target, "the store does not show the whole object that it confirmed")
        await self._available(claim)

    async def _single(self, claim: ObjectClaim, reading: Reading, body: bytes) -> None:
        """Put an object that is held whole."""
        digest = Digest(expected(claim))
        await asyncio.to_thread(digest.update, body)
        _check_arrived(claim, len(body), digest)
        await self._admission.cover(claim.id, len(body), exact=True)
        await self._checked(claim, len(body), digest, moved=len(body))
        await self._store(claim).put(claim.key, body, metadata={VERSION: claim.version})
        self._checkpoint("put")
        await self._available(claim)

    async def _resume(self, claim: ObjectClaim, source: Source) -> Upload | None:
        if claim.upload_id is None or claim.source != source or claim.validator is None:
            return None
        try:
            listed = await self._store(claim).list_parts(claim.key, claim.upload_id)
        except NotFound:
            return None
        return resumed(claim, await self._database.run(lambda c: claims.parts_of(c, claim)), listed)

    async def _begin(self, claim: ObjectClaim, reading: Reading, size: int) -> Upload:
        store = self._store(claim)
        if claim.fence > 1:
            await self.sweep(claim)
        absent = await store.head(claim.key) is None
        creating = asyncio.create_task(self._create(store, claim, size, reading.total))
        try:
            upload_id = await asyncio.shield(creating)
        except asyncio.CancelledError:
            await asyncio.wait([creating])  # else an upload could be left that nobody knows of
            raise
        return fresh(claim, upload_id, size, absent=absent)

    async def _create(self, store: TargetStore, claim: ObjectClaim, size: int, total: int | None) -> str:
        upload_id = await store.create_upload(claim.key, metadata={VERSION: claim.version})
        self._checkpoint("upload-created")
        try:
            await self._database.run(lambda c: claims.begin_upload(c, claim, upload_id, size, total))
        except ClaimLost:
            await store.abort_upload(claim.key, upload_id)
            raise
        self._checkpoint("upload-remembered")
        return upload_id

    # -- parts ---------------------------------------------------------------------------------------------

    async def _parts(self, claim: ObjectClaim, reading: Reading, upload: Upload, first: bytes) -> None:
        """Send part after part, while the next one is already being read."""
        body, end = first, upload.start
        while body:
            following = asyncio.create_task(reading.read_part(upload.part_bytes), name="harvest-read")
            try:
                end += len(body)
                await self._admission.cover(claim.id, end, exact=False)
                await self._part(claim, upload, body, end)
            except BaseException:
                following.cancel()
                await asyncio.wait([following])
                if not following.cancelled():
                    following.exception()  # told by what is being raised
                raise
            body = await following

    async def _part(self, claim: ObjectClaim, upload: Upload, body: bytes, end: int) -> None:
        number = -(-end // upload.part_bytes)
        if number > MAX_PARTS:
            raise SourceFailed(f"larger than {MAX_PARTS} parts of {upload.part_bytes} bytes", again=False)
        hashing = asyncio.to_thread(upload.digest.update, body)
        if upload.has(number):
            await hashing
            return
        part, _ = await asyncio.gather(self._send(claim, upload, number, body), hashing)
        upload.confirmed[number] = part
        state, now = upload.digest.state(), self._clock()

        def remember(connection: Connection) -> None:
            claims.part_done(connection, claim, part, end, state)
            claims.count_moved(connection, claim, part.size, now)

        await self._database.run(remember)
        self._checkpoint("part-remembered")

    async def _send(self, claim: ObjectClaim, upload: Upload, number: int, body: bytes) -> Part:
        there = upload.found(number, body)
        if there is not None:
            return there
        part = await self._store(claim).put_part(claim.key, upload.id, number, Whole(body), len(body))
        self._checkpoint("part-sent")
        return part

    # -- the end -------------------------------------------------------------------------------------------

    async def _checked(self, claim: ObjectClaim, total: int, digest: Digest, *, moved: int = 0) -> None:
        sha256, now = digest.sha256().hex(), self._clock()

        def remember(connection: Connection) -> None:
            claims.checked(connection, claim, total, sha256)
            if moved:
                claims.count_moved(connection, claim, moved, now)

        await self._database.run(remember)
        self._checkpoint("checked")

    async def _complete(self, claim: ObjectClaim, upload_id: str, parts: list[Part], *, absent: bool) -> None:
        """Make the object visible; where another writer was first, only if theirs are not the same bytes.

        ``absent``: nothing was there when the upload began.
        """
        store = self._store(claim)
        try:
            await store.complete_upload(claim.key, upload_id, parts, if_absent=absent)
        except Conflict:
            if await self._visible(claim):
                await store.abort_upload(claim.key, upload_id)
            else:
                await store.complete_upload(claim.key, upload_id, parts)

    async def _visible(self, claim: ObjectClaim, *, written: bool = False) -> bool:
        """Tell whether the bytes that were checked are what the target shows.

        ``written``: we have just done so ourselves, and the length is enough.
        """
        current = await self._database.run(lambda c: claims.current(c, claim))
        info = await self._store(claim).head(claim.key)
        if info is None or info.size != current.total:
            return False
        if written or info.metadata.get(VERSION) == claim.version:
            return True
        found = hashlib.sha256()  # a store that keeps no metadata: the bytes themselves must tell
        async for piece in self._store(claim).get(claim.key):
            found.update(piece)
        return found.hexdigest() == current.sha256

    async def _available(self, claim: ObjectClaim) -> None:
        now = self._clock()
        await self._database.run(lambda c: claims.available(c, claim, now))
        self._checkpoint("available")

    def _store(self, claim: ObjectClaim) -> TargetStore:
        return self._places[claim.target].store


def _check_announced(claim: ObjectClaim, reading: Reading) -> None:
    if None not in (claim.size, reading.total) and claim.size != reading.total:
        raise WrongBytes(f"the item announces {claim.size} bytes, the source has {reading.total}")
    certain = reading.framed or claim.size is not None or expected(claim) is not None
    if not certain:
        raise SourceFailed("neither item nor source tell a length or checksum: the end cannot be told", again=False)


def _check_arrived(claim: ObjectClaim, total: int, digest: Digest) -> None:
    if claim.size is not None and total != claim.size:
        raise WrongBytes(f"{total} bytes came of {claim.size} announced")
    if not digest.matches():
        raise WrongBytes("the checksum of what came is not the one announced")
