"""The parts of one multipart upload: sent from the source as they come, each remembered once it is confirmed."""

import asyncio
import hashlib

from edges.errors import EdgeError
from edges.lines.sockets import Buffer
from edges.model import Part
from edges.storage.s3_wire import Whole
from harvest.claims import ObjectClaim
from harvest.desk import Desk
from harvest.errors import SourceFailed, WrongBytes
from harvest.feed import Feed
from harvest.reading import Reading
from harvest.seams import Checkpoint, TargetStore
from harvest.upload import MAX_PARTS, Upload

HELD_PART = 8 << 20
"""Bytes of a part whose length nobody tells beforehand: it is held in memory, to be counted."""


class Parts:
    """Carries an upload forward by one reading. Whoever loses the claim raises ClaimLost at the next write."""

    def __init__(self, *, desk: Desk, checkpoint: Checkpoint, claim: ObjectClaim, store: TargetStore) -> None:
        self._desk = desk
        self._checkpoint = checkpoint
        self._claim = claim
        self._store = store

    async def stream(self, upload: Upload, reading: Reading, total: int) -> None:
        """Send what is missing of ``total`` bytes, from socket to socket."""
        while reading.position < total:
            start = reading.position
            size = min(upload.part_bytes, total - start)
            number = _number(start + size, upload)
            if upload.has(number):
                await _read_over(Feed(reading, size, upload.digest))
                continue
            part = upload.sent(number, size)
            if part is not None:
                if await _read_over(Feed(reading, size, upload.digest)) != part.etag.strip('"'):
                    raise WrongBytes("what an earlier run sent is not what the source has now")
            else:
                part = await self._send(upload, Feed(reading, size, upload.digest), number, size)
            await self._remember(upload, part, start + size)

    async def hold(self, upload: Upload, reading: Reading, first: Buffer) -> None:
        """Send a source that tells no length: each part is held, while the next one is already being read."""
        body, end = first, upload.start
        while body:
            following = asyncio.create_task(reading.read_part(upload.part_bytes), name="harvest-read")
            try:
                end += len(body)
                await self._desk.cover(self._claim, end, exact=False)
                await self._hold_part(upload, body, end)
            except BaseException:  # also where the work is given up: nobody else awaits what is being read
                following.cancel()
                await asyncio.wait([following])
                if not following.cancelled():
                    following.exception()  # told by what is being raised
                raise
            body = await following

    async def _hold_part(self, upload: Upload, body: Buffer, end: int) -> None:
        number = _number(end, upload)
        await asyncio.to_thread(upload.digest.update, body)
        if upload.has(number):
            return
        part = upload.sent(number, len(body))
        if part is None or hashlib.md5(body, usedforsecurity=False).hexdigest() != part.etag.strip('"'):
            part = await self._store.put_part(self._claim.key, upload.id, number, Whole(body), len(body))
            self._checkpoint("part-sent")
        await self._remember(upload, part, end)

    async def _send(self, upload: Upload, feed: Feed, number: int, size: int) -> Part:
        try:
            part = await self._store.put_part(self._claim.key, upload.id, number, feed, size)
        except EdgeError:
            if feed.failure is not None:
                raise feed.failure from None
            raise
        self._checkpoint("part-sent")
        return part

    async def _remember(self, upload: Upload, part: Part, end: int) -> None:
        upload.confirmed[part.number] = part
        await self._desk.part_done(self._claim, part, end, upload.digest.state())
        self._checkpoint("part-remembered")


def _number(end: int, upload: Upload) -> int:
    number = -(-end // upload.part_bytes)
    if number > MAX_PARTS:
        raise SourceFailed(f"larger than {MAX_PARTS} parts of {upload.part_bytes} bytes", again=False)
    return number


async def _read_over(feed: Feed) -> str:
    """Read what is up already, for the hash; return its MD5, as stores tell it in an ETag."""
    found = hashlib.md5(usedforsecurity=False)
    async for piece in feed:
        found.update(piece)
    return found.hexdigest()
