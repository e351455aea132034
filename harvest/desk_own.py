"""The desk of workers beside the database."""

from collections.abc import Callable, Sequence

from edges.model import Part
from harvest import claims, claims_together, orders
from harvest.admission import Admission
from harvest.claims import ObjectClaim, Scope
from harvest.claims_together import Available, Checked
from harvest.database import Connection, Journal
from harvest.errors import HarvestError
from harvest.states import ObjectEvent
from harvest.taking import Asker, claim_together
from quotas.errors import QuotaError


class OwnDesk:
    """A :class:`harvest.desk.Desk` that writes itself; ``scope`` is whose objects it gives out."""

    def __init__(self, *, journal: Journal, admission: Admission, claim_seconds: float, scope: Scope = None) -> None:
        self._database = journal.database
        self._clock: Callable[[], float] = journal.clock
        self._admission = admission
        self._claim_seconds = claim_seconds
        self._scope = scope

    async def take(self, most: int) -> Sequence[ObjectClaim]:
        now = self._clock()
        asker = Asker(now=now, until=now + self._claim_seconds, most=most, scope=self._scope)
        return await self._database.run_together(claim_together, asker)

    async def renew(self, claim: ObjectClaim) -> None:
        until = self._clock() + self._claim_seconds
        await self._database.run(lambda c: claims.renew_object(c, claim, until))

    async def current(self, claim: ObjectClaim) -> ObjectClaim:
        return await self._database.run(lambda c: claims.current(c, claim.id, claim.fence))

    async def parts(self, claim: ObjectClaim) -> Sequence[Part]:
        return await self._database.run(lambda c: claims.parts_of(c, claim))

    async def cover(self, claim: ObjectClaim, needed: int, *, exact: bool) -> None:
        await self._admission.cover(claim.id, needed, exact=exact)

    async def began(self, claim: ObjectClaim, upload_id: str, part_bytes: int, total: int | None) -> None:
        await self._database.run(lambda c: claims.begin_upload(c, claim, upload_id, part_bytes, total))

    async def part_done(self, claim: ObjectClaim, part: Part, done: int, hash_state: bytes | None) -> None:
        now = self._clock()

        def remember(connection: Connection) -> None:
            if claims.part_done(connection, claim, part, done, hash_state):
                claims.count_moved(connection, claim, part.size, now)

        await self._database.run(remember)

    async def upload_gone(self, claim: ObjectClaim) -> None:
        await self._database.run(lambda c: claims.forget_upload(c, claim))

    async def checked(self, claim: ObjectClaim, total: int, digest: str | None) -> None:
        told = Checked(claim=claim, total=total, digest=digest)
        if not await self._database.run_together(claims_together.checked, told):
            await self._admission.cover(claim.id, total, exact=True)
            await self._database.run(lambda c: claims.checked(c, claim, total, digest))

    async def checked_together(self, told: Sequence[Checked]) -> list[Exception | None]:
        """Write down of many objects what :meth:`checked` does of one; return what each is to be told."""
        ends = await self._database.run(lambda c: claims_together.checked(c, told))
        return [
            end if isinstance(end, Exception) else None if end else await self._covered(each)
            for each, end in zip(told, ends, strict=True)
        ]

    async def _covered(self, told: Checked) -> Exception | None:
        """Reserve what is missing for one of many objects; return what stands in the way."""
        try:
            await self.checked(told.claim, told.total, told.digest)
        except (HarvestError, QuotaError) as error:
            return error
        return None

    async def available_together(self, told: Sequence[tuple[ObjectClaim, int]]) -> list[Exception | None]:
        """Write down of many objects what :meth:`available` does of one, with the bytes that were moved."""
        now = self._clock()
        written = [Available(claim=claim, moved=moved, now=now) for claim, moved in told]
        return await self._database.run(lambda c: claims_together.available(c, written))

    async def available(self, claim: ObjectClaim, moved: int) -> None:
        now = self._clock()
        if moved:
            told = Available(claim=claim, moved=moved, now=now)
            await self._database.run_together(claims_together.available, told)
        else:
            await self._database.run(lambda c: claims.available(c, claim, now))

    async def ended(self, claim: ObjectClaim, event: ObjectEvent, reason: str) -> None:
        now = self._clock()
        await self._database.run(lambda c: claims.ended(c, claim, event, reason, now))

    async def put_off(self, claim: ObjectClaim, event: ObjectEvent, reason: str, pause: float) -> None:
        later = self._clock() + pause
        await self._database.run(lambda c: claims.put_off(c, claim, event, reason, later))

    async def wait_for_quota(self, claim: ObjectClaim, reason: str, pause: float) -> None:
        now = self._clock()

        def wait(connection: Connection) -> None:
            row = connection.one("object_reserved", object=claim.id)
            if row is not None and row["payer"] is not None:
                orders.wait_for_quota(connection, row["payer"], reason, now, now + pause)
            claims.put_off(connection, claim, "give-up-claim", reason, now)

        await self._database.run(wait)

    async def deleted(self, claim: ObjectClaim) -> None:
        await self._database.run(lambda c: claims.forget_object(c, claim))
