"""Objects carried: claimed, transferred or removed, renewed meanwhile, and put down how it went."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from edges.errors import EdgeError, SiteUnavailable
from harvest.claims import ObjectClaim, is_small
from harvest.desk import Desk
from harvest.errors import ClaimLost, HarvestError, NotYet, SourceFailed, WrongBytes
from harvest.hand import Hand
from harvest.model import Source
from harvest.seams import Recorded, unrecorded
from harvest.states import ObjectEvent
from harvest.transfer import Transfer
from quotas.errors import LedgerUnavailable, QuotaExceeded

logger = logging.getLogger(__name__)

Ending = Literal["done", "deleted", "failed", "put off", "held", "waiting", "lost"]
"""How a worker's turn with an object ended."""

SMALL_IN_HAND = 32
"""Small objects that one worker has in hand: a quarter of them on their way, the others wait for the same commits."""

SMALL_IN_A_ROW = 256
"""Small objects after which a worker looks for other work, too."""

LONGEST_PAUSE = 300.0
"""Seconds after which a store or ledger that did not answer is tried again, at most."""


def quietly() -> None:
    """Tell nobody."""


class Carrier:
    """Carries out claims on objects, some at a time; any number of them, anywhere, share the work.

    A claim lasts ``claim_seconds`` unless it is renewed. ``attempts`` refusals by the target's store end the work on
    an object; ``pause_seconds`` is the longest wait between two questions for quota. ``recorded`` is the context of
    the work on each object: its end is ``done``, ``deleted``, ``failed``, ``put off``, ``held``, ``waiting`` (for
    quota), or ``lost`` to another.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        transfer: Transfer,
        claim_seconds: float,
        attempts: int,
        pause_seconds: float,
        recorded: Recorded = unrecorded,
    ) -> None:
        self._desk = desk
        self._transfer = transfer
        self._claim_seconds = claim_seconds
        self._attempts = attempts
        self._pause = pause_seconds
        self._recorded = recorded
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Let all claims be looked at now: one may have been taken away."""
        nudged, self._nudged = self._nudged, asyncio.Event()
        nudged.set()

    async def step(self, found: Callable[[], None] = quietly) -> bool:
        """Carry out the next claims; tell whether there were any. ``found`` is called before, where there are.

        Of small objects further ones are taken as soon as half of the hand is free, up to :data:`SMALL_IN_A_ROW`.
        """
        taken = await self._desk.take(SMALL_IN_HAND)
        if taken:
            found()
            await self._under_claims(taken)
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
        count = 0
        while claims:
            for claim in claims:
                hand.take(claim, self._carried(claim, hand.lost))
            count += len(claims)
            if count >= SMALL_IN_A_ROW or not all(map(is_small, claims)):
                return
            if not await hand.empty_to(min(SMALL_IN_HAND // 2, len(claims))):
                return
            try:
                claims = await self._desk.take(SMALL_IN_HAND - len(hand.works))
            except HarvestError:  # what is in hand may end well all the same
                await hand.let_go()
                raise

    async def _carried(self, claim: ObjectClaim, lost: Collection[int]) -> None:
        with self._recorded("harvest object", {"lakegate.site": claim.target}) as told:
            try:
                told(await self._settle(claim))
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

    async def _settle(self, claim: ObjectClaim) -> Ending:
        """Carry out a claim; each failure becomes a state with a reason."""
        try:
            if claim.state == "DELETING":
                return await self._delete(claim)
            if claim.state == "VERIFYING":
                return await self._publish(claim)
            return await self._fetch(claim)
        except QuotaExceeded as error:
            return await self._wait_for_quota(claim, error)
        except (SiteUnavailable, LedgerUnavailable) as error:
            return await self._put_off(claim, str(error), min(LONGEST_PAUSE, 0.5 * 2.0**claim.attempts))
        except EdgeError as error:
            return await self._refused(claim, error)

    async def _publish(self, claim: ObjectClaim) -> Ending:
        if await self._transfer.publish_again(claim):
            return "done"
        await self._transfer.discard(claim)
        return await self._put_off(claim, "what was checked is no longer there", 0.0)

    async def _delete(self, claim: ObjectClaim) -> Ending:
        await self._transfer.discard(claim)
        await self._transfer.sweep(claim)
        if claim.visible:
            await self._transfer.erase(claim)
        await self._desk.deleted(claim)
        return "deleted"

    async def _fetch(self, claim: ObjectClaim) -> Ending:
        """Try the sources in turn, the one that an earlier run used first."""
        failures: list[tuple[Source, SourceFailed]] = []
        for source in sorted(claim.sources, key=lambda each: each != claim.source):
            try:
                await self._transfer.fetch(claim, source)
            except NotYet as error:
                reason = f"{source.site}: {error.reason}"
                await self._desk.put_off(claim, "hold", reason, error.after or 0.0)
                return "held"
            except SourceFailed as error:
                extra = {"key": claim.key, "site": source.site, "reason": error.reason}
                logger.warning("a source did not deliver", extra=extra)
                failures.append((source, error))
                claim = await self._transfer.discard(claim)
            else:
                return "done"
        wrong = any(isinstance(error, WrongBytes) for _, error in failures)
        reason = "; ".join(f"{source.site or 'source'}: {error.reason}" for source, error in failures)
        return await self._end(claim, "spoiled" if wrong else "no-source", reason)

    async def _end(self, claim: ObjectClaim, event: ObjectEvent, reason: str) -> Ending:
        claim = await self._transfer.discard(claim)
        await self._desk.ended(claim, event, reason)
        return "failed"

    async def _put_off(self, claim: ObjectClaim, reason: str, pause: float) -> Ending:
        extra = {"key": claim.key, "edge": claim.target, "reason": reason}
        logger.warning("work on an object is put off", extra=extra)
        await self._desk.put_off(claim, "give-up-claim", reason, pause)
        return "put off"

    async def _refused(self, claim: ObjectClaim, error: EdgeError) -> Ending:
        """Put off an object that the target's store refuses, and after some tries give it up."""
        if claim.attempts + 1 < self._attempts:
            return await self._put_off(claim, str(error), min(LONGEST_PAUSE, 0.5 * 2.0**claim.attempts))
        return await self._end(claim, "spoiled", str(error))

    async def _wait_for_quota(self, claim: ObjectClaim, error: QuotaExceeded) -> Ending:
        """Let the order wait for quota; where waiting never helps, the object has failed."""
        if all(each.available_at is None for each in error.refusal.violated) and error.refusal.retry_after is None:
            return await self._end(claim, "spoiled", str(error))
        pause = min(error.refusal.retry_after or self._pause, self._pause)
        await self._desk.wait_for_quota(claim, str(error), pause)
        return "waiting"
