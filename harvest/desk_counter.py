"""The gateway's side of far workers: each act is checked against its run, and written down by an own desk."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from harvest import claims
from harvest.admission import Admission
from harvest.bucket_keys import Bucket
from harvest.carrying import CarryingTerms
from harvest.claims import ObjectClaim
from harvest.database import Connection, Journal
from harvest.desk_own import OwnDesk
from harvest.desk_wire import Covered, Deed, Granted, Taken, Terms
from harvest.errors import ActUnknown, ClaimLost, RunOver, RunUnknown
from harvest.runs import RunTokens
from harvest.states import ObjectEvent
from harvest.turns import DatabaseTurns
from harvest.zip_address import container_of
from quotas.errors import QuotaExceeded

MAX_TAKEN = 32
MAX_TURNS = 1_000
MAX_BYTES = 1 << 30
MAX_PAUSE = 24 * 3_600.0
MAX_REASON = 500


class Counter:
    """Serves far workers. ``buckets`` gives the keys to a site's bucket, to be told to workers that need them."""

    def __init__(
        self,
        *,
        journal: Journal,
        admission: Admission,
        tokens: RunTokens,
        terms: Terms,
        buckets: Callable[[str], Bucket | None],
        turns: DatabaseTurns,
    ) -> None:
        self._journal = journal
        self._database = journal.database
        self._admission = admission
        self._tokens = tokens
        self._terms = terms
        self._buckets = buckets
        self._turns = turns

    async def terms(self, run: str, token: str) -> Terms:
        """Return how a run's workers carry.

        Raises:
            RunUnknown: the token is of no such run.
            RunOver: the run has ended.
        """
        await self._order(run, token)
        return self._terms

    async def serve(self, run: str, token: str, verb: str, deed: Deed) -> msgspec.Struct | list[Any] | None:
        """Carry out one act; return what it answers.

        Raises:
            RunUnknown, RunOver: as :meth:`terms`.
            ClaimLost: the claim is not, or no longer, this run's.
            ActUnknown: there is no such verb.
        """
        order = await self._order(run, token)
        carrying: CarryingTerms = self._terms.carrying
        desk = OwnDesk(
            journal=self._journal, admission=self._admission, claim_seconds=carrying.claim_seconds, scope=order
        )
        if verb == "take":
            return await self._take(desk, order, deed)
        if verb in TURNS:
            return await at_sites(self._turns, verb, deed)
        act = ACTS.get(verb)
        if act is None:
            raise ActUnknown(f"{verb[:40]!r} is none of {', '.join(VERBS)}")
        claim = await self._database.run(lambda c: _owned(c, deed, order))
        if deed.source is not None:
            claim = msgspec.structs.replace(claim, source=deed.source, validator=deed.validator)
        answer: msgspec.Struct | list[Any] | None = await act(desk, claim, deed)
        return answer

    async def _order(self, run: str, token: str) -> str:
        """Return the order that a run works for, and note that it lives."""
        if not self._tokens.is_of(run, token):
            raise RunUnknown("the token is of no run that is known here")
        now = self._journal.clock()
        row = await self._database.run(lambda c: c.one("run_seen", id=run, now=now))
        if row is None:
            raise RunOver("this run has ended: nothing is left for it to do")
        return str(row["order_id"])

    async def _take(self, desk: OwnDesk, order: str, deed: Deed) -> Taken:
        taken = await desk.take(max(1, min(deed.most, MAX_TAKEN)))
        rows = await self._database.run(lambda c: c.all("run_open", order_id=order))
        return Taken(claims=tuple(taken), buckets=self._keys(taken), open=int(rows[0]["open"]))

    def _keys(self, taken: Sequence[ObjectClaim]) -> Mapping[str, Bucket]:
        """Return the keys that claims need, and no others: of the targets, and of the sources that are buckets."""
        sites = {claim.target for claim in taken}
        sites |= {each.site for claim in taken for each in claim.sources if container_of(each.href).startswith("s3:")}
        found = {site: self._buckets(site) for site in sorted(sites)}
        return {site: bucket for site, bucket in found.items() if bucket is not None}


async def at_sites(turns: DatabaseTurns, verb: str, deed: Deed) -> Granted:
    """Give out turns at sites and their pace, or keep them; each act is bounded, whoever asks."""
    if verb == "turn":
        return Granted(turn=await turns.lend(deed.site))
    if verb == "pace":
        requests, count = min(max(0, deed.requests), 1), min(max(0, deed.count), MAX_BYTES)
        return Granted(grant=await turns.pace(deed.site, requests=requests, count=count))
    if len(deed.turns.kept) + len(deed.turns.ended) <= MAX_TURNS:
        await turns.keep(deed.turns)
    return Granted()


def _owned(connection: Connection, deed: Deed, order: str) -> ObjectClaim:
    """Return a claim as it stands, if the run's order pays for its object."""
    row = connection.one("object_reserved", object=deed.id)
    if row is None or row["payer"] != order:
        raise ClaimLost(claims.LOST)
    return claims.current(connection, deed.id, deed.fence)


Act = Callable[[OwnDesk, ObjectClaim, Deed], Awaitable[Any]]


async def _current(desk: OwnDesk, claim: ObjectClaim, deed: Deed) -> ObjectClaim:
    return await desk.current(claim)


async def _parts(desk: OwnDesk, claim: ObjectClaim, deed: Deed) -> list[Any]:
    return list(await desk.parts(claim))


async def _covered(act: Awaitable[None]) -> Covered:
    """Carry out what needs quota; tell whether there was some."""
    try:
        await act
    except QuotaExceeded as error:
        return Covered(refusal=error.refusal)
    return Covered()


async def _part_done(desk: OwnDesk, claim: ObjectClaim, deed: Deed) -> None:
    if deed.part is None:
        raise ClaimLost("no part is named")
    await desk.part_done(claim, deed.part, deed.done, deed.hash_state)


async def _ended(desk: OwnDesk, claim: ObjectClaim, deed: Deed) -> None:
    event: ObjectEvent = "spoiled" if deed.event == "spoiled" else "no-source"
    await desk.ended(claim, event, deed.reason[:MAX_REASON])


async def _put_off(desk: OwnDesk, claim: ObjectClaim, deed: Deed) -> None:
    event: ObjectEvent = "hold" if deed.event == "hold" else "give-up-claim"
    await desk.put_off(claim, event, deed.reason[:MAX_REASON], min(max(deed.pause, 0.0), MAX_PAUSE))


async def _wait(desk: OwnDesk, claim: ObjectClaim, deed: Deed) -> None:
    await desk.wait_for_quota(claim, deed.reason[:MAX_REASON], min(max(deed.pause, 0.0), MAX_PAUSE))


ACTS: Mapping[str, Act] = {
    "renew": lambda desk, claim, _: desk.renew(claim),
    "current": _current,
    "parts": _parts,
    "cover": lambda desk, claim, deed: _covered(desk.cover(claim, deed.needed, exact=deed.exact)),
    "began": lambda desk, claim, deed: desk.began(claim, deed.upload_id, deed.part_bytes, deed.total),
    "part_done": _part_done,
    "upload_gone": lambda desk, claim, _: desk.upload_gone(claim),
    "checked": lambda desk, claim, deed: _covered(desk.checked(claim, deed.total or 0, deed.digest)),
    "available": lambda desk, claim, deed: desk.available(claim, deed.moved),
    "ended": _ended,
    "put_off": _put_off,
    "wait_for_quota": _wait,
}
TURNS = ("turn", "turns", "pace")
VERBS = ("take", *TURNS, *ACTS)
"""What far workers may ask for. What is to be deleted is never given to them."""
