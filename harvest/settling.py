"""What is done about one claim on an object: each failure becomes a state with a reason."""

import logging
from typing import Literal, Protocol

from edges.errors import EdgeError, SiteUnavailable
from harvest.claims import ObjectClaim
from harvest.desk import Desk
from harvest.errors import NotYet, SourceFailed, WrongBytes
from harvest.model import Source
from harvest.states import ObjectEvent
from harvest.transfer import Transfer
from quotas.errors import LedgerUnavailable, QuotaExceeded

logger = logging.getLogger(__name__)

Ending = Literal["done", "deleted", "failed", "put off", "held", "waiting", "lost"]
"""How a worker's turn with an object ended."""

LONGEST_PAUSE = 300.0
"""Seconds after which a store or ledger that did not answer is tried again, at most."""


class Settles(Protocol):
    """Carries out claims, one by one, any number of them at once."""

    async def settle(self, claim: ObjectClaim) -> Ending:
        """Carry out a claim, and write down how it went.

        Raises:
            ClaimLost: another has taken it over.
            HarvestError: nothing can be written down now.
        """
        ...


class Settling:
    """Settles claims in this process.

    ``attempts`` refusals by the target's store end the work on an object; ``pause_seconds`` is the longest wait between
    two questions for quota.
    """

    def __init__(self, *, desk: Desk, transfer: Transfer, attempts: int, pause_seconds: float) -> None:
        self._desk = desk
        self._transfer = transfer
        self._attempts = attempts
        self._pause = pause_seconds

    async def settle(self, claim: ObjectClaim) -> Ending:
        """Carry out a claim; see :class:`Settles`."""
        try:
            if claim.state == "DELETING":
                return await self._delete(claim)
            if claim.state == "VERIFYING":
                return await self._publish(claim)
            return await self._fetch(claim)
        except QuotaExceeded as error:
            return await self._wait_for_quota(claim, error)
        except (SiteUnavailable, LedgerUnavailable) as error:
            return await self.put_off(claim, str(error), min(LONGEST_PAUSE, 0.5 * 2.0**claim.attempts))
        except EdgeError as error:
            return await self._refused(claim, error)

    async def _publish(self, claim: ObjectClaim) -> Ending:
        if await self._transfer.publish_again(claim):
            return "done"
        await self._transfer.discard(claim)
        return await self.put_off(claim, "what was checked is no longer there", 0.0)

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

    async def put_off(self, claim: ObjectClaim, reason: str, pause: float) -> Ending:
        """Give a claim back, to be taken up again after so many seconds."""
        extra = {"key": claim.key, "edge": claim.target, "reason": reason}
        logger.warning("work on an object is put off", extra=extra)
        await self._desk.put_off(claim, "give-up-claim", reason, pause)
        return "put off"

    async def _refused(self, claim: ObjectClaim, error: EdgeError) -> Ending:
        """Put off an object that the target's store refuses, and after some tries give it up."""
        if claim.attempts + 1 < self._attempts:
            return await self.put_off(claim, str(error), min(LONGEST_PAUSE, 0.5 * 2.0**claim.attempts))
        return await self._end(claim, "spoiled", str(error))

    async def _wait_for_quota(self, claim: ObjectClaim, error: QuotaExceeded) -> Ending:
        """Let the order wait for quota; where waiting never helps, the object has failed."""
        if all(each.available_at is None for each in error.refusal.violated) and error.refusal.retry_after is None:
            return await self._end(claim, "spoiled", str(error))
        pause = min(error.refusal.retry_after or self._pause, self._pause)
        await self._desk.wait_for_quota(claim, str(error), pause)
        return "waiting"
