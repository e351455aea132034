"""Several parts of one object at once: each by a connection and a request of its own, summed up by its own checksum."""

import asyncio
import logging
from dataclasses import dataclass

import msgspec

from edges.errors import EdgeError
from harvest.claims import ObjectClaim
from harvest.desk import Desk
from harvest.digest import Digest
from harvest.errors import SourceChanged, SourceFailed, WrongBytes
from harvest.feed import Feed
from harvest.lanes import Lanes, Plan, lanes_of
from harvest.model import Source
from harvest.reading import Reading
from harvest.seams import Checkpoint, TargetStore
from harvest.sources import Sources
from harvest.upload import Upload

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Carriage:
    """What one object is carried by: its claim and source, the store it goes to, and who is told."""

    claim: ObjectClaim
    source: Source
    store: TargetStore
    sources: Sources
    desk: Desk
    checkpoint: Checkpoint
    lanes: Lanes
    part_bytes: int


class SideBySide:
    """Carries what is missing of an upload.

    The first lane reads on where it is, and never waits for another; the others take parts from behind, as long as
    lanes are to spare. One whose source gives it nothing gives its part back: a site that lets nobody in twice is read
    in one lane.
    """

    def __init__(self, carriage: Carriage, upload: Upload, total: int, validator: str | None) -> None:
        self._with = carriage
        self._upload = upload
        self._total = total
        self._validator = validator
        self._plan = Plan(total, upload.part_bytes, upload.confirmed)
        beside = upload.part_bytes < total and _is_ranged(carriage.source, validator)
        self._beside = lanes_of(carriage.part_bytes, upload.part_bytes, carriage.lanes.most) - 1 if beside else 0
        self._others: set[asyncio.Task[None]] = set()

    async def run(self, reading: Reading) -> None:
        """Carry all parts, the first ones by ``reading``.

        Raises:
            SourceFailed: the source does not deliver; what is up stays.
            EdgeError: the store refuses or does not answer.
            ClaimLost: another has taken over.
        """
        try:
            while True:
                self._spread()
                number = self._plan.first()
                if number is not None:
                    await self._first_lane(reading, number)
                elif self._others:
                    await asyncio.wait(self._others, return_when=asyncio.FIRST_COMPLETED)
                else:
                    return
                self._raise_failures()
        finally:
            for task in self._others:
                task.cancel()
            await asyncio.gather(*self._others, return_exceptions=True)

    def _spread(self) -> None:
        """Begin further lanes, where there are parts for them."""
        while len(self._others) < min(self._beside, self._plan.left - 1) and self._with.lanes.spare():
            name = f"harvest-lane-{self._with.claim.id}"
            self._others.add(asyncio.create_task(self._other_lane(), name=name))

    def _raise_failures(self) -> None:
        ended = {task for task in self._others if task.done()}
        self._others -= ended
        for task in ended:
            task.result()

    async def _first_lane(self, reading: Reading, number: int) -> None:
        start, stop = self._plan.span(number)
        if reading.position != start:
            await reading.move(start, stop)
        await self._carry(reading, number)

    async def _other_lane(self) -> None:
        try:
            while not self._with.lanes.crowded and (number := self._plan.last()) is not None:
                if not await self._delivered(number):
                    return
        finally:
            self._with.lanes.give_back()

    async def _delivered(self, number: int) -> bool:
        """Carry a part by a connection of its own; tell False where the source would not give it."""
        start, stop = self._plan.span(number)
        asked = self._with.sources.reading(self._with.source, start=start, stop=stop, validator=self._validator)
        try:
            async with asked as reading:
                _check_length(reading, self._total)
                await self._carry(reading, number)
        except (SourceChanged, WrongBytes):
            raise
        except SourceFailed as error:
            extra = {"key": self._with.claim.key, "site": self._with.source.site, "reason": error.reason}
            logger.info("a source is read in fewer lanes", extra=extra)
            self._plan.back(number)
            self._beside = len(self._others) - 1
            return False
        return True

    async def _carry(self, reading: Reading, number: int) -> None:
        start, stop = self._plan.span(number)
        upload, claim = self._upload, self._with.claim
        digest = Digest()
        feed = Feed(reading, stop - start, digest)
        try:
            part = await self._with.store.put_part(claim.key, upload.id, number, feed, stop - start)
        except EdgeError:
            if feed.failure is not None:
                raise feed.failure from None
            raise
        self._with.checkpoint("part-sent")
        crc = int.from_bytes(digest.checksum().digest, "big")
        upload.confirmed[number] = part = msgspec.structs.replace(part, crc64nvme=crc)
        await self._with.desk.part_done(claim, part, upload.bytes_there(), None)
        self._with.checkpoint("part-remembered")


def _check_length(reading: Reading, total: int) -> None:
    if reading.total != total:
        raise SourceChanged


def _is_ranged(source: Source, validator: str | None) -> bool:
    """Tell whether ranges of a source are sure to be of the same bytes: a strong ETag says so (RFC 9110, 8.8.1)."""
    return source.href.startswith(("http:", "https:", "s3:")) and (validator or "").startswith('"')
