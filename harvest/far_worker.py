"""A worker far from the gateway: takes work by HTTP, carries the bytes itself, ends when nothing is left."""

import asyncio
import logging
import os
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from edges.http import Outbound
from edges.lines.lines import Lines
from edges.settings import Secret, StorageSettings
from edges.storage.s3 import S3Store
from harvest.carrier import Carrier
from harvest.carrying import carrier_of
from harvest.desk_far import FarDesk, FarTurns, Line
from harvest.desk_wire import Bucket, Taken
from harvest.errors import HarvestError, RunOver, RunUnknown
from harvest.means import Means
from harvest.politeness import Manners
from harvest.seams import Checkpoint, Place, unobserved

logger = logging.getLogger(__name__)

IDLE_SECONDS = 2.0
"""How long a worker waits where all that is open is in others' hands, or put off."""

FAULT_SECONDS = 1.0


@dataclass
class _Buckets:
    """The buckets that this worker was given keys to, opened once each; ``open`` is how much is left to carry."""

    stack: AsyncExitStack
    lines: Lines
    stall_seconds: float
    places: dict[str, Place] = field(default_factory=dict)
    open: int = 0

    async def learn(self, taken: Taken) -> None:
        self.open = taken.open
        for site, bucket in taken.buckets.items():
            if site not in self.places:
                self.places[site] = await self._place(site, bucket)

    async def _place(self, site: str, bucket: Bucket) -> Place:
        settings = StorageSettings(
            endpoint=bucket.endpoint,
            bucket=bucket.bucket,
            region=bucket.region,
            access_key=_kept(site, "ACCESS", bucket.access_key),
            secret_key=_kept(site, "SECRET", bucket.secret_key),
        )
        store = S3Store(site=site, settings=settings, lines=self.lines, stall_seconds=self.stall_seconds)
        return Place(
            site=site,
            store=await self.stack.enter_async_context(store),
            bucket=bucket.bucket,
            endpoint=bucket.endpoint,
            region=bucket.region,
        )


def _kept(site: str, what: str, value: str) -> Secret:
    """Keep a key in this process's environment: settings hold secrets by reference only."""
    name = f"LAKEGATE_RUN_{what}_{zlib.crc32(site.encode()):08X}"
    os.environ[name] = value
    return Secret(env=name)


async def work_for(url: str, run: str, token: str, *, checkpoint: Checkpoint = unobserved) -> None:
    """Carry what a run has to carry, until nothing is left or the run is over.

    Raises:
        RunUnknown: the token is refused.
        DatabaseUnavailable: the gateway does not answer.
    """
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(Outbound(allowed=[url]))
        line = Line(session=own.session, url=url, run=run, token=token)
        try:
            terms = await line.terms()
        except RunOver:
            return
        outbound = await stack.enter_async_context(Outbound(allowed=terms.allowed))
        buckets = _Buckets(stack, outbound.lines, terms.carrying.stall_seconds)
        turns = FarTurns(line=line, seconds=terms.carrying.claim_seconds)
        manners = Manners(terms.politeness, origins=terms.origins, turns=turns)
        means = Means(lines=outbound.lines, check=outbound.check, places=buckets.places, manners=manners)
        desk = FarDesk(line=line, taken=buckets.learn)
        workers = max(1, terms.workers)
        carrier = carrier_of(desk, terms.carrying, means, workers, checkpoint)
        works = [_carry(carrier, lambda: buckets.open) for _ in range(workers)]
        keeping = asyncio.create_task(turns.keep(), name="harvest-turns")
        try:
            ends = await asyncio.gather(*works, return_exceptions=True)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end


async def _carry(carrier: Carrier, left: Callable[[], int]) -> None:
    """Take step after step, until nothing is left to carry."""
    while True:
        try:
            worked = await carrier.step()
        except RunOver as error:
            logger.info("the run is over", extra={"reason": str(error)})
            return
        except RunUnknown:
            raise
        except HarvestError as error:
            logger.warning("harvest work failed", extra={"reason": str(error)})
            await asyncio.sleep(FAULT_SECONDS)
            continue
        if not worked:
            if not left():
                return
            await asyncio.sleep(IDLE_SECONDS)
