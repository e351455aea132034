"""Charging for what is cheap and frequent: requests and items.

A reservation is durable, and a disk flush per search would cost more than the search. So a small part of the
quota is reserved ahead, spent from memory, and settled by what was really spent. The ledger counts the whole
part until then: the quota cannot be exceeded, and what a crash loses is never more than such a part.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from aiohttp import web

from gateway.background import beside
from gateway.principal import PRINCIPAL, Principal
from gateway.quota.rate_limits import UNITS, Remaining, fields_of, remaining_of
from quotas.errors import LeaseLost, QuotaError, QuotaExceeded
from quotas.ledger import Ledger
from quotas.model import Charge, Line, Policy, Refusal, Usage

logger = logging.getLogger(__name__)

AHEAD = 0.02
"""How much of what is left is reserved ahead."""

LONGEST_SECONDS = 60.0
SHORTEST_SECONDS = 0.5
"""How long a part reserved ahead may be spent: at most a 60th of the shortest window, within these bounds."""

LEASE_MARGIN_SECONDS = 30.0
"""How much longer its lease lives: time to settle it."""

ABSORB_SECONDS = 10.0
"""How long a request may wait, where all policies in its way say ``queue``: clients do not try again after 429."""

MOST_WAITING = 64
"""So many requests of one user wait for one resource; more are refused at once."""

ONE_REQUEST = (Line(resource="requests", amount=1),)


class Spending:
    """What one request takes. Until the request is over it can say that it was less."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._asked = {(line.resource, line.edge): line.amount for line in lines}
        self.used = dict(self._asked)

    def actual(self, resource: str, amount: float, *, edge: str = "*") -> None:
        """Say how much it really was; at most what was asked for counts."""
        place = (resource, edge)
        if place in self._asked:
            self.used[place] = min(amount, self._asked[place])


class _Part:
    """A part reserved ahead: of one resource at one edge, for one charge."""

    def __init__(self, key: str, resource: str, *, until: float, left: float) -> None:
        self.key = key
        self.resource = resource
        self.until = until
        self.left = left
        self.spent = 0.0
        self.pending = 0
        """Requests that have taken from it and may still put something back."""

    def settles_by(self, now: float) -> bool:
        """Whether to settle it: nothing is pending, or its lease will soon be over."""
        return self.pending == 0 or self.until + LEASE_MARGIN_SECONDS / 2 <= now

    def put_back(self, amount: float) -> None:
        """End one request's part in it."""
        self.left += amount
        self.spent -= amount
        self.pending -= 1


class _Purse:
    """Where one charge's spending of one resource at one edge comes from."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.part: _Part | None = None
        self.touched = 0.0
        self.line = asyncio.Lock()
        """Whose turn it is of those who wait: they are served as they came."""
        self.waiting = 0
        self.queues = False
        """Whether its last refusal was by policies that let others wait."""
        self.told: tuple[Remaining, ...] = ()
        """What the policies left when it was filled."""
        self.since = 0.0
        """What was taken since."""


class Charged:
    """A request's charge: an async context manager that gives its :class:`Spending`, or awaitable."""

    def __init__(self, charging: "Charging", charge: Charge, lines: Sequence[Line], *, patience: float) -> None:
        self._charging = charging
        self._charge = charge
        self._lines = lines
        self._patience = patience
        self._taken: list[tuple[_Part, Line]] = []
        self._spending = Spending(lines)

    def __await__(self) -> Generator[Any, None, None]:
        return self._whole().__await__()

    async def _whole(self) -> None:
        async with self:
            pass

    async def __aenter__(self) -> Spending:
        self._taken = await self._charging.take(self._charge, self._lines, patience=self._patience)
        return self._spending

    async def __aexit__(self, *exc_info: object) -> None:
        for part, line in self._taken:
            part.put_back(line.amount - self._spending.used[line.resource, line.edge])


class Charges(Protocol):
    """What faces charge their requests at."""

    def request(self, principal: Principal, lines: Sequence[Line] = ONE_REQUEST) -> Charged:
        """Charge a request: see :meth:`Charging.request`."""
        ...


class Charging:
    """Charges requests. Where no policy binds, it costs nothing and touches nothing.

    ``running`` settles what was reserved ahead; use the object within it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pause = pause
        self._purses: dict[tuple[str, str, str, str], _Purse] = {}
        self._old: list[_Part] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Settle regularly, and at the end."""
        try:
            async with beside(self._settle_regularly(), name="quota settling"):
                yield
        finally:
            await self.settle(everything=True)

    async def _settle_regularly(self) -> None:
        while True:
            await asyncio.sleep(SHORTEST_SECONDS)
            await self.settle()

    def request(self, principal: Principal, lines: Sequence[Line] = ONE_REQUEST, *, patience: float = 0.0) -> "Charged":
        """Charge a request: ``async with`` puts back at the end what it did not use, ``await`` charges it all.

        A request that fails is charged as one that does not: it was work all the same. It waits for ``patience``
        seconds at most whatever policies say, and for ``ABSORB_SECONDS`` where all in its way say ``queue``.

        Raises:
            QuotaExceeded: when entered or awaited: a policy stands in the way, and nothing is charged.
            LedgerUnavailable: the ledger cannot be written.
        """
        return Charged(self, principal.charge, lines, patience=patience)

    def remaining(self, charge: Charge) -> list[Remaining]:
        """Tell what policies leave a charge, as known in memory: others may have taken some of it since."""
        purses = [self._purses.get((charge.group, charge.user, resource, "*")) for resource in UNITS]
        return [told.less(purse.since) for purse in purses if purse is not None for told in purse.told]

    async def tell(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Put the RateLimit fields on a successful answer (a handler of aiohttp's ``on_response_prepare``)."""
        principal: Principal | None = request.get(PRINCIPAL)
        if principal is None or response.status >= 400 or "RateLimit" in response.headers:
            return
        response.headers.update(fields_of(self.remaining(principal.charge)))

    async def take(self, charge: Charge, lines: Sequence[Line], *, patience: float = 0.0) -> list[tuple[_Part, Line]]:
        """Take all lines or none; return each with the part that it came from."""
        taken: list[tuple[_Part, Line]] = []
        try:
            for line in lines:
                policies = self._ledger.binds(charge, (line,)) if line.amount else ()
                if policies:
                    taken.append((await self._take(charge, line, policies, patience), line))
        except BaseException:  # also where the request is given up: all lines are taken, or none
            for part, line in taken:
                part.put_back(line.amount)
            raise
        return taken

    async def _take(self, charge: Charge, line: Line, policies: Sequence[Policy], patience: float) -> _Part:
        place = (charge.group, charge.user, line.resource, line.edge)
        purse = self._purses.get(place)
        if purse is None:
            purse = self._purses[place] = _Purse()
        part = None if purse.waiting else self._fitting(purse, line.amount)
        if part is None:
            part = await self._filled(purse, partial(self._fitted, purse, charge, line, policies), patience)
        part.left -= line.amount
        part.spent += line.amount
        part.pending += 1
        purse.since += line.amount
        return part

    async def _filled(self, purse: _Purse, fill: Callable[[], Awaitable[_Part]], patience: float) -> _Part:
        """Return a part that has that much; wait for it where it may be waited for, behind those who came before.

        Raises:
            QuotaExceeded: it does not come free soon, or too many wait already.
        """
        since = self._clock()
        if not (patience or purse.queues) or purse.waiting >= MOST_WAITING:
            try:
                return await fill()
            except QuotaExceeded as error:
                purse.queues = error.refusal.on_exceed == "queue"
                if purse.waiting >= MOST_WAITING or self._pause_after(error, since, patience) is None:
                    raise
        purse.waiting += 1
        try:
            async with purse.line:
                while True:
                    try:
                        return await fill()
                    except QuotaExceeded as error:
                        wait = self._pause_after(error, since, patience)
                        if wait is None:
                            raise
                    await self._pause(wait)
        finally:
            purse.waiting -= 1

    def _pause_after(self, error: QuotaExceeded, since: float, patience: float) -> float | None:
        """Return for how long who waits since then pauses before it asks again; None where it waits no more."""
        refusal = error.refusal
        seconds = max(patience, ABSORB_SECONDS if refusal.on_exceed == "queue" else 0.0)
        wait = refusal.retry_after
        if refusal.never or wait is None or self._clock() + wait > since + seconds:
            return None
        return wait

    async def _fitted(self, purse: _Purse, charge: Charge, line: Line, policies: Sequence[Policy]) -> _Part:
        """Return a part that has that much; see :meth:`_fill`."""
        async with purse.lock:
            return self._fitting(purse, line.amount) or await self._fill(purse, charge, line, policies)

    def _fitting(self, purse: _Purse, amount: float) -> _Part | None:
        """Return the purse's part if it has that much left, and its time is not over."""
        purse.touched = self._clock()
        part = purse.part
        return part if part is not None and part.left >= amount and part.until > purse.touched else None

    async def _fill(self, purse: _Purse, charge: Charge, line: Line, policies: Sequence[Policy]) -> _Part:
        """Put a new part into a purse: some ahead, else just what is needed now."""
        if purse.part is not None:
            self._old.append(purse.part)
            purse.part = None
            await self.settle()  # what it had left may be what is missing now
        windows = [policy.window_seconds / 60 for policy in policies if policy.window_seconds]
        seconds = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, min(windows, default=LONGEST_SECONDS)))
        usages = await self._ledger.usage([charge.group], charge.user)
        names = frozenset(policy.name for policy in policies)
        purse.told, purse.since = remaining_of(usages, names), 0.0
        ahead = _remaining(usages, names) * AHEAD
        for amount in sorted({max(line.amount, ahead), line.amount}, reverse=True):
            key = f"requests/{uuid.uuid4()}"
            wanted = Line(resource=line.resource, amount=amount, edge=line.edge)
            answer = await self._ledger.reserve(
                key, charge, [wanted], ttl=seconds + LEASE_MARGIN_SECONDS, why="requests, ahead of time"
            )
            if isinstance(answer, Refusal):
                refused = answer
                continue
            part = purse.part = _Part(key, line.resource, until=self._clock() + seconds, left=amount)
            return part
        raise QuotaExceeded(refused)

    async def settle(self, *, everything: bool = False) -> None:
        """Commit the parts whose time is over, by what was spent of them; forget purses that nobody uses."""
        now = self._clock()
        for place, purse in list(self._purses.items()):
            if purse.part is not None and (everything or purse.part.until <= now):
                self._old.append(purse.part)
                purse.part = None
            elif purse.part is None and not purse.lock.locked() and purse.touched + LONGEST_SECONDS < now:
                del self._purses[place]
        ready = [part for part in self._old if everything or part.settles_by(now)]
        self._old = [part for part in self._old if part not in ready]
        await asyncio.gather(*(self._commit(part) for part in ready))

    async def _commit(self, part: _Part) -> None:
        try:
            if part.spent > 0:
                await self._ledger.commit(part.key, {part.resource: part.spent})
            else:
                await self._ledger.release(part.key)
        except LeaseLost:
            logger.warning("a part reserved ahead ended before it was settled", extra={"spent": part.spent})
        except QuotaError as error:
            logger.warning("a part reserved ahead cannot be settled", extra={"error": str(error)})


class Patient:
    """Charges as :class:`Charging` does, and lets requests wait for ``seconds`` whatever policies say.

    For clients that do not come again after 429.
    """

    def __init__(self, charging: Charging, *, seconds: float) -> None:
        self._charging = charging
        self._seconds = seconds

    def request(self, principal: Principal, lines: Sequence[Line] = ONE_REQUEST) -> Charged:
        """Charge a request: see :meth:`Charging.request`."""
        return self._charging.request(principal, lines, patience=self._seconds)


def _remaining(usages: Sequence[Usage], names: frozenset[str]) -> float:
    """Return what is left under the tightest policy, so that many users together do not reserve it all."""
    left = [each.limit - each.used - each.reserved for each in usages if each.policy.name in names]
    return max(0.0, min(left, default=0.0))
