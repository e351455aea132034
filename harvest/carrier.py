"""Objects carried: claimed, some at a time, settled, and renewed meanwhile."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence

from harvest.claims import SMALL_TOGETHER, ObjectClaim, is_small
from harvest.desk import Desk
from harvest.errors import ClaimLost, HarvestError
from harvest.hand import Hand
from harvest.seams import Recorded, unrecorded
from harvest.settling import Settles

logger = logging.getLogger(__name__)

SMALL_AT_ONCE = 32
"""Small objects that a worker takes at once; with as many left it takes more: some are on their way, others wait for
the same commits."""


def quietly() -> None:
    """Tell nobody."""


class Carrier:
    """Carries out claims on objects, some at a time; any number of them, anywhere, share the work.

    A claim lasts ``claim_seconds`` unless it is renewed. ``recorded`` is the context of the work on each object: its
    end is ``done``, ``deleted``, ``failed``, ``put off``, ``held``, ``waiting`` (for quota), or ``lost`` to another.
    ``found`` is called before claims are carried out, where there are some, ``progressed`` whenever some have ended.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        settling: Settles,
        claim_seconds: float,
        recorded: Recorded = unrecorded,
        found: Callable[[], None] = quietly,
        progressed: Callable[[], None] = quietly,
    ) -> None:
        self._desk = desk
        self._found = found
        self._progressed = progressed
        self._settling = settling
        self._claim_seconds = claim_seconds
        self._recorded = recorded
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Let all claims be looked at now: one may have been taken away."""
        nudged, self._nudged = self._nudged, asyncio.Event()
        nudged.set()

    async def step(self) -> bool:
        """Carry out the next claims; tell whether there were any.

        Of small objects further ones are taken before the last are through, as long as there are.
        """
        taken = await self._desk.take(SMALL_AT_ONCE)
        if taken:
            self._found()
            await self._under_claims(taken)
            self._progressed()
        return bool(taken)

    async def _under_claims(self, claims: Sequence[ObjectClaim]) -> None:
        """Carry out claims on objects while renewing them; whoever loses one stops its work at once."""
        hand = Hand()
        renewal = asyncio.create_task(self._renew(hand), name="harvest-renewal")
        renewal.add_done_callback(lambda _: hand.give_up())  # by itself it ends only where it fails
        try:
            await self._in_a_row(hand, claims)
            await hand.let_go()
        finally:
            failed = renewal.done()
            renewal.cancel()  # which gives up what is still in hand
            ends = await asyncio.gather(renewal, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError, Exception):  # told by what is being raised
                await hand.let_go()
            if failed and isinstance(ends[0], BaseException):
                raise ends[0]

    async def _in_a_row(self, hand: Hand, claims: Sequence[ObjectClaim]) -> None:
        """Take claims in hand, and as long as they are small ones, more as these end."""
        while claims:
            for claim in claims:
                hand.take(claim, self._carried(claim, hand.lost))
            if not all(map(is_small, claims)) or not await hand.empty_to(SMALL_AT_ONCE, SMALL_TOGETHER):
                return
            self._progressed()
            try:
                claims = await self._desk.take(SMALL_AT_ONCE)
            except HarvestError:  # what is in hand may end well all the same
                await hand.let_go()
                raise

    async def _carried(self, claim: ObjectClaim, lost: Collection[int]) -> None:
        with self._recorded("harvest object", {"lakegate.site": claim.target}) as told:
            try:
                told(await self._settling.settle(claim))
            except (ClaimLost, asyncio.CancelledError) as error:
                if claim.id not in lost and not isinstance(error, ClaimLost):
                    raise
                logger.info("an object was taken over", extra={"key": claim.key, "edge": claim.target})
                told("lost")

    async def _renew(self, hand: Hand) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._claim_seconds / 3):
                    await self._nudged.wait()
            for claim in list(hand.works.values()):
                try:
                    await self._desk.renew(claim)
                except ClaimLost:
                    hand.lose(claim)
