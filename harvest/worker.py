"""The workers: each takes the next piece of work, carries it out, and puts down how it went."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from edges.errors import EdgeError, SiteUnavailable
from harvest import claims, orders
from harvest.claims import ObjectClaim
from harvest.database import Connection, Journal
from harvest.errors import ClaimLost, NotYet, SourceFailed, WrongBytes
from harvest.model import Source
from harvest.registering import claim_items
from harvest.registrar import Registrar
from harvest.settings import HarvestSettings
from harvest.states import ObjectEvent
from harvest.transfer import Transfer
from quotas.errors import LedgerUnavailable, QuotaExceeded

logger = logging.getLogger(__name__)

SMALL_AT_ONCE = 8
"""Small objects that one worker has in hand: each waits for its round trips, and all for the same commits."""

LONGEST_PAUSE = 300.0
"""Seconds after which a store or ledger that did not answer is tried again, at most."""


class Worker:
    """Carries out work, one piece at a time; several of them share the database, in any number of processes.

    ``progressed`` is called after each piece, so that what waits for it can look.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        transfer: Transfer,
        registrar: Registrar,
        settings: HarvestSettings,
        progressed: Callable[[], None],
    ) -> None:
        self._database = journal.database
        self._transfer = transfer
        self._registrar = registrar
        self._settings = settings
        self._clock = journal.clock
        self._progressed = progressed
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Let all claims be looked at now: one may have been taken away."""
        nudged, self._nudged = self._nudged, asyncio.Event()
        nudged.set()

    async def step(self) -> bool:
        """Carry out one piece of work; tell whether there was any."""
        now = self._clock()
        until = now + self._settings.claim_seconds
        enlisted = await self._database.run(orders.enlist)
        items = await self._database.run(lambda c: claim_items(c, now, until))
        if items:
            await self._registrar.register(items)
        taken: list[ObjectClaim] = []
        if not items:
            taken = await self._database.run(lambda c: claims.claim_objects(c, now, until, SMALL_AT_ONCE))
        await asyncio.gather(*(self._under_claim(each) for each in taken))
        worked = bool(enlisted) or bool(items) or bool(taken)
        if worked:
            self._progressed()
        return worked

    async def _under_claim(self, claim: ObjectClaim) -> None:
        """Carry out a claim on an object while renewing it; whoever loses it stops at once."""
        work = asyncio.create_task(self._settle(claim), name=f"harvest-object-{claim.id}")
        renewal = asyncio.create_task(self._renew(claim), name=f"harvest-renew-{claim.id}")
        try:
            await asyncio.wait([work, renewal], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, renewal):
                task.cancel()
            ends = await asyncio.gather(work, renewal, return_exceptions=True)
        for end in ends:
            if isinstance(end, ClaimLost):
                logger.info("an object was taken over", extra={"key": claim.key, "edge": claim.target})
            elif isinstance(end, Exception):
                raise end

    async def _renew(self, claim: ObjectClaim) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.claim_seconds / 3):
                    await self._nudged.wait()
            until = self._clock() + self._settings.claim_seconds
            await self._database.run(lambda c, until=until: claims.renew_object(c, claim, until))  # type: ignore[misc] # a default binds the loop's value

    async def _settle(self, claim: ObjectClaim) -> None:
        """Carry out a claim; each failure becomes a state with a reason."""
        try:
            if claim.state == "DELETING":
                await self._delete(claim)
            elif claim.state == "VERIFYING":
                if not await self._transfer.publish_again(claim):
                    await self._transfer.discard(claim)
                    await self._put_off(claim, "what was checked is no longer there", 0.0)
            else:
                await self._fetch(claim)
        except QuotaExceeded as error:
            await self._wait_for_quota(claim, error)
        except (SiteUnavailable, LedgerUnavailable) as error:
            await self._put_off(claim, str(error), min(LONGEST_PAUSE, 0.5 * 2.0**claim.attempts))
        except EdgeError as error:
            await self._refused(claim, error)

    async def _delete(self, claim: ObjectClaim) -> None:
        await self._transfer.discard(claim)
        await self._transfer.sweep(claim)
        if claim.visible:
            await self._transfer.erase(claim)
        await self._database.run(lambda c: claims.forget_object(c, claim))

    async def _fetch(self, claim: ObjectClaim) -> None:
        """Try the sources in turn, the one that an earlier run used first."""
        failures: list[tuple[Source, SourceFailed]] = []
        for source in sorted(claim.sources, key=lambda each: each != claim.source):
            try:
                return await self._transfer.fetch(claim, source)
            except NotYet as error:
                now = self._clock()
                reason, later = f"{source.site}: {error.reason}", now + (error.after or 0.0)
                return await self._database.run(lambda c: claims.put_off(c, claim, "hold", reason, later))  # noqa: B023 - awaited at once
            except SourceFailed as error:
                extra = {"key": claim.key, "site": source.site, "reason": error.reason}
                logger.warning("a source did not deliver", extra=extra)
                failures.append((source, error))
                claim = await self._transfer.discard(claim)
        wrong = any(isinstance(error, WrongBytes) for _, error in failures)
        reason = "; ".join(f"{source.site or 'source'}: {error.reason}" for source, error in failures)
        await self._end(claim, "spoiled" if wrong else "no-source", reason)
        return None

    async def _end(self, claim: ObjectClaim, event: ObjectEvent, reason: str) -> None:
        claim = await self._transfer.discard(claim)
        now = self._clock()
        await self._database.run(lambda c: claims.ended(c, claim, event, reason, now))

    async def _put_off(self, claim: ObjectClaim, reason: str, pause: float) -> None:
        later = self._clock() + pause
        extra = {"key": claim.key, "edge": claim.target, "reason": reason}
        logger.warning("work on an object is put off", extra=extra)
        await self._database.run(lambda c: claims.put_off(c, claim, "give-up-claim", reason, later))

    async def _refused(self, claim: ObjectClaim, error: EdgeError) -> None:
        """Put off an object that the target's store refuses, and after some tries give it up."""
        if claim.attempts + 1 < self._settings.attempts:
            await self._put_off(claim, str(error), min(LONGEST_PAUSE, 0.5 * 2.0**claim.attempts))
        else:
            await self._end(claim, "spoiled", str(error))

    async def _wait_for_quota(self, claim: ObjectClaim, error: QuotaExceeded) -> None:
        """Let the order wait for quota; where waiting never helps, the object has failed."""
        if all(each.available_at is None for each in error.refusal.violated) and error.refusal.retry_after is None:
            await self._end(claim, "spoiled", str(error))
            return
        now = self._clock()
        pause = min(error.refusal.retry_after or self._settings.pause_seconds, self._settings.pause_seconds)

        def wait(connection: Connection) -> None:
            row = connection.one("object_reserved", object=claim.id)
            if row is not None and row["payer"] is not None:
                orders.wait_for_quota(connection, row["payer"], str(error), now, now + pause)
            claims.put_off(connection, claim, "give-up-claim", str(error), now)

        await self._database.run(wait)
