"""One object, from its source into the target's bucket: streamed, checked before it can be seen, resumable.

An object of at most one part goes up in one request, from socket to socket; its last bytes are withheld until length
and checksum hold, and without them nothing becomes visible. A larger one goes up in parts; each confirmed part is
remembered together with the state of the checksum, so that after a crash at most one part is fetched again. The upload
is completed only when length and checksum hold; otherwise it is aborted and nothing was ever visible. Inside one
service the bytes are copied by the service itself.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import msgspec

from edges.errors import Conflict, EdgeError, NotFound, SiteMisbehaved
from edges.lines.sockets import Buffer
from edges.model import Stored
from harvest.claims import ObjectClaim, is_small
from harvest.copying import Copier
from harvest.desk import Desk
from harvest.digest import Digest, Kept
from harvest.errors import ClaimLost, SourceChanged, SourceFailed, WrongBytes
from harvest.estimate import part_size
from harvest.feed import Feed
from harvest.lanes import Lanes, lane_bytes
from harvest.model import Source
from harvest.parts import HELD_PART, Parts
from harvest.publishing import VERSION, Publisher
from harvest.reading import Reading
from harvest.seams import Checkpoint, Place, TargetStore, unobserved
from harvest.side_by_side import Carriage, SideBySide
from harvest.slots import Slots
from harvest.sources import Sources
from harvest.upload import Upload, are_apart, check_arrived, expected, resumed

WRONG_TRIES = 2
"""How often one source may deliver wrong bytes before it is given up."""

HELD = 1 << 20
"""Bytes up to which an object is held whole, so that a store that is busy gets it again without asking the source."""


_AT_ONCE = nullcontext()


class _Occupied(Exception):
    """Something else is where only absence was expected."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How objects are transferred: bytes of a part, and what is computed where no checksum is announced.

    Up to ``parts_at_once`` parts of one object go side by side, where no others are being carried; they are smaller.
    ``small_at_once`` small objects are on their way at once: read, or written; others wait for the journal meanwhile.
    """

    part_bytes: int
    checksum: Kept = "crc64nvme"
    parts_at_once: int = 1
    small_at_once: int = 8


class Transfer:
    """Carries out claims on objects; keeps nothing between them. ``checkpoint`` is told after each write."""

    def __init__(
        self,
        *,
        desk: Desk,
        places: Mapping[str, Place],
        sources: Sources,
        manner: Manner,
        checkpoint: Checkpoint = unobserved,
    ) -> None:
        self._desk = desk
        self._sources = sources
        self._manner = manner
        self._checkpoint = checkpoint
        self._lanes = Lanes(manner.parts_at_once)
        self._small = Slots(manner.small_at_once)
        self._publisher = Publisher(desk=desk, places=places, checkpoint=checkpoint)
        self._copier = Copier(
            desk=desk, places=places, sources=sources, publisher=self._publisher, checkpoint=checkpoint
        )
        self.discard = self._publisher.discard
        self.sweep = self._publisher.sweep
        self.erase = self._publisher.erase
        self.publish_again = self._publisher.publish_again

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
        absent = claim.fence == 1
        while True:
            try:
                if not await self._copier.copied(claim, source):
                    await self._attempt(claim, source, absent=absent)
            except _Occupied:
                absent = False
            except WrongBytes:
                wrong += 1
                if wrong >= WRONG_TRIES:
                    raise
            except SourceChanged:
                changed += 1
                if changed >= self._sources.patience.attempts:
                    raise
            else:
                return
            claim = await self.discard(claim)

    # -- one attempt at one source -------------------------------------------------------------------------

    async def _attempt(self, claim: ObjectClaim, source: Source, *, absent: bool) -> None:
        upload = await self._resume(claim, source)
        if upload is None and claim.upload_id is not None:
            claim = await self.discard(claim)
        elif upload is not None and upload.start == claim.total:
            await self._conclude(claim, upload, upload.start)
            return
        start, validator = (upload.start, claim.validator) if upload else (0, None)
        reading = self._sources.reading(source, start=start, validator=validator)
        async with _in_turn(claim, self._small.reading), reading:
            if upload is not None and not _same(reading, claim):
                raise SourceChanged
            claim = msgspec.structs.replace(claim, source=source, validator=reading.validator)
            _check_announced(claim, reading)
            came: Upload | Buffer | None
            if reading.total is None:
                came = await self._unmeasured(claim, reading, upload)
            else:
                came = await self._measured(claim, reading, upload, absent=absent)
            end = reading.position
        if isinstance(came, Upload):
            await self._conclude(claim, came, came.bytes_there() if came.apart else end)
        elif came is not None:
            await self._hold(claim, came)  # the source is let go of before: others may wait for it

    async def _measured(
        self, claim: ObjectClaim, reading: Reading, upload: Upload | None, *, absent: bool
    ) -> Upload | Buffer | None:
        """Transfer a source that tells its length; return what is to be concluded or put, or None if all is done."""
        total = reading.total or 0
        if upload is None and total <= min(self._manner.part_bytes, HELD):
            return await reading.read_part(total)
        await self._desk.cover(claim, total, exact=True)
        with self._lanes.own():
            if upload is None and total <= self._manner.part_bytes:
                await self._stream(claim, reading, total, absent=absent)
                return None
            if upload is None:
                apart = are_apart(claim, (), self._manner.checksum)
                upload = await self._begin(claim, reading, self._part_size(total, apart=apart), apart=apart)
            if upload.apart:
                await SideBySide(self._carriage(claim), upload, total, reading.validator).run(reading)
            else:
                await self._parts(claim).stream(upload, reading, total)
        return upload

    def _part_size(self, total: int, *, apart: bool) -> int:
        """Return the size of parts: where several go at once, a crash loses no more of them than of a large one."""
        most = self._manner.parts_at_once if apart else 1
        return part_size(total, lane_bytes(self._manner.part_bytes, most))

    def _carriage(self, claim: ObjectClaim) -> Carriage:
        if claim.source is None:
            raise ClaimLost("no source is being read")
        return Carriage(
            claim=claim,
            source=claim.source,
            store=self._store(claim),
            sources=self._sources,
            desk=self._desk,
            checkpoint=self._checkpoint,
            lanes=self._lanes,
            part_bytes=self._manner.part_bytes,
        )

    async def _unmeasured(self, claim: ObjectClaim, reading: Reading, upload: Upload | None) -> Upload | Buffer:
        """Transfer a source that does not tell its length; return what is to be concluded, or to be put."""
        if upload is not None and upload.apart:
            raise SourceChanged  # it told its length before
        size = upload.part_bytes if upload else min(HELD_PART, self._manner.part_bytes)
        first = await reading.read_part(size)
        if upload is None and len(first) < size:
            return first
        upload = upload or await self._begin(claim, reading, size)
        await self._parts(claim).hold(upload, reading, first)
        return upload

    async def _hold(self, claim: ObjectClaim, body: Buffer) -> None:
        """Put an object that is held whole."""
        digest = self._digest(claim)
        digest.update(body)
        await self._permit(claim, len(body), digest)
        async with _in_turn(claim, self._small.putting):
            await self._store(claim).put(claim.key, body, metadata={VERSION: claim.version})
        self._checkpoint("put")
        await self._publisher.available(claim, moved=len(body))

    async def _stream(self, claim: ObjectClaim, reading: Reading, total: int, *, absent: bool) -> None:
        """Put an object in one request, as it comes."""
        digest = self._digest(claim)
        feed = Feed(reading, total, digest, permit=lambda: self._permit(claim, total, digest))
        store = self._store(claim)
        try:
            metadata = {VERSION: claim.version}
            stored = await store.put_stream(claim.key, feed, total, metadata=metadata, if_absent=absent)
        except EdgeError as error:
            if feed.failure is not None:
                raise feed.failure from None
            if not isinstance(error, Conflict):
                raise
            if not await self._publisher.visible(claim):
                raise _Occupied from error
        else:
            await self._compare(claim, stored, digest)
        self._checkpoint("put")
        await self._publisher.available(claim, moved=total)

    async def _compare(self, claim: ObjectClaim, stored: Stored, digest: Digest) -> None:
        """Compare what the store computed by itself, if it tells, with what was sent."""
        ours = digest.checksum()
        if stored.crc64nvme is None or ours.algorithm != "crc64nvme":
            return
        if stored.crc64nvme.to_bytes(8, "big") != ours.digest:
            await self._store(claim).delete(claim.key)
            raise SiteMisbehaved(claim.target, "the store holds other bytes than were sent")

    async def _permit(self, claim: ObjectClaim, total: int, digest: Digest) -> None:
        """Let the last bytes go: only if all is right, and the claim still ours."""
        check_arrived(claim, total, digest)
        await self._publisher.checked(claim, total, digest.multihash())

    async def _conclude(self, claim: ObjectClaim, upload: Upload, total: int) -> None:
        """Check an upload whose bytes are all there, and make it visible."""
        await self._permit(claim, total, upload.summed(expected(claim)))
        await self._publisher.complete(claim, upload.id, upload.parts(), absent=upload.absent)
        self._checkpoint("completed")
        if not await self._publisher.visible(claim, written=True):
            raise SiteMisbehaved(claim.target, "the store does not show the whole object that it confirmed")
        await self._publisher.available(claim)

    async def _resume(self, claim: ObjectClaim, source: Source) -> Upload | None:
        if claim.upload_id is None or claim.source != source or claim.validator is None:
            return None
        try:
            listed = await self._store(claim).list_parts(claim.key, claim.upload_id)
        except NotFound:
            return None
        remembered = await self._desk.parts(claim)
        return resumed(claim, remembered, listed, self._manner.checksum)

    # -- parts ---------------------------------------------------------------------------------------------

    async def _begin(self, claim: ObjectClaim, reading: Reading, size: int, *, apart: bool = False) -> Upload:
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
        return Upload(id=upload_id, part_bytes=size, digest=self._digest(claim), absent=absent, apart=apart)

    async def _create(self, store: TargetStore, claim: ObjectClaim, size: int, total: int | None) -> str:
        upload_id = await store.create_upload(claim.key, metadata={VERSION: claim.version})
        self._checkpoint("upload-created")
        try:
            await self._desk.began(claim, upload_id, size, total)
        except ClaimLost:
            await store.abort_upload(claim.key, upload_id)
            raise
        self._checkpoint("upload-remembered")
        return upload_id

    def _parts(self, claim: ObjectClaim) -> Parts:
        return Parts(desk=self._desk, checkpoint=self._checkpoint, claim=claim, store=self._store(claim))

    def _digest(self, claim: ObjectClaim) -> Digest:
        return Digest(expected(claim), otherwise=self._manner.checksum)

    def _store(self, claim: ObjectClaim) -> TargetStore:
        return self._publisher.store(claim)


def _in_turn(claim: ObjectClaim, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
    """Return what holds a small object back until others have come through."""
    return slot if is_small(claim) else _AT_ONCE


def _same(reading: Reading, claim: ObjectClaim) -> bool:
    """Tell whether a source is what an upload was begun from; it may tell its length only later."""
    return reading.validator == claim.validator and claim.total in (None, reading.total)


def _check_announced(claim: ObjectClaim, reading: Reading) -> None:
    if None not in (claim.size, reading.total) and claim.size != reading.total:
        raise WrongBytes(f"the item announces {claim.size} bytes, the source has {reading.total}")
    certain = reading.framed or claim.size is not None or expected(claim) is not None
    if not certain:
        raise SourceFailed("neither item nor source tell a length or checksum: the end cannot be told", again=False)
