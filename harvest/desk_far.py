"""The desk of workers far from the database: each act is told to the gateway, again where it did not answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

import aiohttp
import msgspec

from edges.model import Part
from harvest.claims import LOST, ObjectClaim
from harvest.desk_wire import TOKEN_HEADER, Covered, Deed, Granted, Taken, Terms, Verb
from harvest.errors import ClaimLost, DatabaseUnavailable, HarvestError, RunOver, RunUnknown
from harvest.states import ObjectEvent
from harvest.turns import Grant, Holder
from quotas.errors import QuotaExceeded

_T = TypeVar("_T")

CALL_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""How long a gateway that does not answer is asked again: it may be restarting."""

MAX_ANSWER = 64 << 20


class Line:
    """The line of one run's worker to the gateway at ``url``."""

    def __init__(self, *, session: aiohttp.ClientSession, url: str, run: str, token: str) -> None:
        self._session = session
        self._base = f"{url.rstrip('/')}/harvest-runs/{run}"
        self._headers = {TOKEN_HEADER: token, "Content-Type": "application/json"}

    async def terms(self) -> Terms:
        """Return how to carry."""
        return await self.ask("terms", Deed(), Terms)

    async def ask(self, verb: str, deed: Deed, kind: type[_T]) -> _T:
        """Ask for something; see :meth:`call`."""
        try:
            return msgspec.json.decode(await self.call(verb, deed), type=kind)
        except msgspec.DecodeError as error:
            raise HarvestError(f"the gateway's answer to {verb} is not understood: {error}") from error

    async def call(self, verb: str, deed: Deed) -> bytes:
        """Ask until there is an answer. An act may so be told twice: the gateway's desk takes that.

        Raises:
            ClaimLost: another has taken the claim over.
            RunOver, RunUnknown: the run has ended, or its token is refused: stop working.
            DatabaseUnavailable: there was no answer for a minute.
        """
        pause, until = 0.1, asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                return await self._once(verb, deed)
            except DatabaseUnavailable:
                if asyncio.get_running_loop().time() + pause > until:
                    raise
                await asyncio.sleep(pause)
                pause = min(5.0, 2 * pause)

    async def _once(self, verb: str, deed: Deed) -> bytes:
        try:
            async with self._session.post(
                f"{self._base}/{verb}",
                data=msgspec.json.encode(deed),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
                allow_redirects=False,
            ) as answer:
                body = await answer.content.read(MAX_ANSWER)
                while not answer.content.at_eof() and len(body) < MAX_ANSWER:
                    body += await answer.content.read(MAX_ANSWER - len(body))
                if answer.status == 200:
                    return body
                _refused(verb, answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DatabaseUnavailable(f"the gateway did not answer: {type(error).__name__}") from error


class Teller(Protocol):
    """Tells acts to who writes them down. Raises as :meth:`Line.call`."""

    async def ask(self, verb: str, deed: Deed, kind: type[_T]) -> _T:
        """Ask for something."""
        ...

    async def call(self, verb: str, deed: Deed) -> bytes:
        """Tell an act; return its answer as it came."""
        ...


class FarDesk:
    """A :class:`harvest.desk.Desk` by way of the gateway; ``taken`` is told of all that is given out.

    Raises:
        RunOver, RunUnknown: the run has ended, or its token is refused: stop working.
    """

    def __init__(self, *, line: Teller, taken: Callable[[Taken], Awaitable[None]]) -> None:
        self._line = line
        self._taken = taken

    async def take(self, most: int) -> Sequence[ObjectClaim]:
        taken = await self._line.ask("take", Deed(most=most), Taken)
        await self._taken(taken)
        return taken.claims

    async def renew(self, claim: ObjectClaim) -> None:
        await self._tell("renew", claim)

    async def current(self, claim: ObjectClaim) -> ObjectClaim:
        return await self._line.ask("current", _deed(claim), ObjectClaim)

    async def parts(self, claim: ObjectClaim) -> Sequence[Part]:
        return await self._line.ask("parts", _deed(claim), list[Part])

    async def cover(self, claim: ObjectClaim, needed: int, *, exact: bool) -> None:
        covered = await self._line.ask("cover", _deed(claim, needed=needed, exact=exact), Covered)
        if covered.refusal is not None:
            raise QuotaExceeded(covered.refusal)

    async def began(self, claim: ObjectClaim, upload_id: str, part_bytes: int, total: int | None) -> None:
        await self._tell("began", claim, upload_id=upload_id, part_bytes=part_bytes, total=total)

    async def part_done(self, claim: ObjectClaim, part: Part, done: int, hash_state: bytes | None) -> None:
        await self._tell("part_done", claim, part=part, done=done, hash_state=hash_state)

    async def upload_gone(self, claim: ObjectClaim) -> None:
        await self._tell("upload_gone", claim)

    async def checked(self, claim: ObjectClaim, total: int, digest: str | None) -> None:
        covered = await self._line.ask("checked", _deed(claim, total=total, digest=digest), Covered)
        if covered.refusal is not None:
            raise QuotaExceeded(covered.refusal)

    async def available(self, claim: ObjectClaim, moved: int) -> None:
        await self._tell("available", claim, moved=moved)

    async def ended(self, claim: ObjectClaim, event: ObjectEvent, reason: str) -> None:
        await self._tell("ended", claim, event=event, reason=reason)

    async def put_off(self, claim: ObjectClaim, event: ObjectEvent, reason: str, pause: float) -> None:
        await self._tell("put_off", claim, event=event, reason=reason, pause=pause)

    async def wait_for_quota(self, claim: ObjectClaim, reason: str, pause: float) -> None:
        await self._tell("wait_for_quota", claim, reason=reason, pause=pause)

    async def deleted(self, claim: ObjectClaim) -> None:
        raise ClaimLost("what is to be deleted is not given to far workers")

    async def _tell(self, verb: Verb, claim: ObjectClaim, **told: Any) -> None:
        await self._line.call(verb, _deed(claim, **told))


class FarTurns:
    """Implements :class:`harvest.turns.Turns` by way of the gateway, so that all runs and gateways count together."""

    def __init__(self, *, line: Teller, seconds: float) -> None:
        self._line = line
        self._holder = Holder(seconds=seconds)

    async def begin(self, site: str) -> str | None:
        """Take a turn at a site."""
        granted = await self._line.ask("turn", Deed(site=site), Granted)
        if granted.turn is not None:
            self._holder.hold(granted.turn, site)
        return granted.turn

    def end(self, turn: str) -> None:
        """Give a turn back, soon."""
        self._holder.end(turn)

    async def pace(self, site: str, *, requests: int = 0, count: int = 0) -> Grant:
        """Ask for requests or bytes."""
        return (await self._line.ask("pace", Deed(site=site, requests=requests, count=count), Granted)).grant

    async def keep(self) -> NoReturn:
        """Tell of turns that are kept and given back, until cancelled. What cannot be told lapses by itself."""
        while True:
            due = await self._holder.due()
            if due.kept or due.ended:
                with contextlib.suppress(HarvestError):
                    await self._line.call("turns", Deed(turns=due))


def _deed(claim: ObjectClaim, **told: Any) -> Deed:
    return Deed(id=claim.id, fence=claim.fence, source=claim.source, validator=claim.validator, **told)


def _refused(verb: str, status: int) -> NoReturn:
    if status == 409:
        raise ClaimLost(LOST)
    if status == 410:
        raise RunOver("this run has ended")
    if status in (401, 403, 404):
        raise RunUnknown("the gateway does not know this run")
    if status == 429 or status >= 500:
        raise DatabaseUnavailable(f"the gateway answered {status}")
    raise HarvestError(f"the gateway refuses {verb}: {status}")
