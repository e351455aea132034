"""A worker far from the gateway: takes work by HTTP, carries the bytes itself, ends when nothing is left."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from edges.http import Outbound
from harvest.carrier import Carrier
from harvest.carrying import settling_of
from harvest.desk_far import FarDesk, FarTurns, Line
from harvest.desk_wire import Taken
from harvest.errors import HarvestError, RunOver, RunUnknown
from harvest.given_buckets import GivenBuckets
from harvest.means import Means
from harvest.politeness import Manners
from harvest.seams import Checkpoint, unobserved

logger = logging.getLogger(__name__)

IDLE_SECONDS = 2.0
"""How long a worker waits where all that is open is in others' hands, or put off."""

FAULT_SECONDS = 1.0


@dataclass
class _Work:
    """What is known of the work: the buckets, and how much is left to carry."""

    buckets: GivenBuckets
    open: int = 0

    async def learn(self, taken: Taken) -> None:
        self.open = taken.open
        await self.buckets.learn(taken.buckets)


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
        buckets = GivenBuckets(stack, outbound.lines, terms.carrying.stall_seconds)
        work = _Work(buckets)
        turns = FarTurns(line=line, seconds=terms.carrying.claim_seconds)
        manners = Manners(terms.politeness, origins=terms.origins, turns=turns)
        means = Means(lines=outbound.lines, check=outbound.check, places=buckets.places, manners=manners)
        desk = FarDesk(line=line, taken=work.learn)
        workers = max(1, terms.workers)
        settling = settling_of(desk, terms.carrying, means, workers, checkpoint)
        carrier = Carrier(desk=desk, settling=settling, claim_seconds=terms.carrying.claim_seconds)
        works = [_carry(carrier, lambda: work.open) for _ in range(workers)]
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
