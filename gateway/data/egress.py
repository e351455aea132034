"""Charging by bytes that leave: reserved before the first byte, settled by what was really sent.

Few bytes come from a part of the quota that was reserved ahead (:mod:`gateway.quota.charging`): a reader of ranges asks
for a thousand of them, and each would cost two flushes of the disk. Many bytes have a lease of their own, renewed while
they flow. Where a length is not known, slices are reserved as they are needed.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.background import beside
from gateway.principal import Principal
from gateway.quota.charging import Charges
from quotas.errors import LeaseLost, QuotaError, QuotaExceeded
from quotas.ledger import Ledger
from quotas.model import Charge, Line, Refusal

_log = logging.getLogger(__name__)

RESOURCE = "egress_bytes"
FEW = 4 << 20
"""So many bytes are charged from a part that was reserved ahead."""
SLICE = 64 << 20
"""Bytes that are reserved at once where the length is not known."""
ABSORB_SECONDS = 10.0
"""How long a download may wait, where all policies in its way say ``queue``."""
_AT_ONCE = 64
_WHY = "a download"


class Meter:
    """What one download has sent so far."""

    def __init__(self) -> None:
        self.sent = 0

    async def cover(self, count: int) -> None:
        """Make sure that so many more bytes may be sent.

        Raises:
            QuotaExceeded: no; only where the length was not known before.
            LedgerUnavailable: the ledger cannot be written.
        """


class _Slices(Meter):
    """Reserves as bytes come, since nobody knows how many there will be."""

    def __init__(self, egress: "Egress", charge: Charge, site: str) -> None:
        super().__init__()
        self._egress = egress
        self._charge = charge
        self._site = site
        self._reserved = 0
        self.leases: list[tuple[str, int]] = []

    async def cover(self, count: int) -> None:
        while self.sent + count > self._reserved:
            amount = max(SLICE, count)
            self.leases.append((await self._egress.reserve(self._charge, self._site, amount), amount))
            self._reserved += amount


class Egress:
    """Meters downloads; use it within ``running``, which renews leases and settles what is left at the end."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        charging: Charges,
        lease_seconds: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._charging = charging
        self._ttl = lease_seconds
        self._pause = pause
        self._open: set[str] = set()
        self._settling: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Renew what is open; at the end wait until all is settled."""
        async with beside(self._renew_regularly(), name="renew downloads' leases"):
            yield
        if self._settling:
            await asyncio.wait(self._settling)

    @asynccontextmanager
    async def metered(self, principal: Principal, site: str, length: int | None) -> AsyncIterator[Meter]:
        """Reserve for a download of ``length`` bytes (None: not known); at the end charge ``Meter.sent``.

        Raises:
            QuotaExceeded: it does not fit, and nothing is charged.
            LedgerUnavailable: the ledger cannot be written.
        """
        line = Line(resource=RESOURCE, amount=1 if length is None else length, edge=site)
        if line.amount == 0 or not self._ledger.binds(principal.charge, [line]):
            yield Meter()
        elif length is None:
            async with self._sliced(principal.charge, site) as meter:
                yield meter
        elif length <= FEW:
            meter = Meter()
            async with self._charging.request(principal, [line]) as spending:
                try:
                    yield meter
                finally:
                    spending.actual(RESOURCE, meter.sent, edge=site)
        else:
            meter = Meter()
            key = await self.reserve(principal.charge, site, length)
            try:
                yield meter
            finally:
                await self._settled(key, principal.charge, site, meter.sent)

    @asynccontextmanager
    async def _sliced(self, charge: Charge, site: str) -> AsyncIterator[Meter]:
        meter = _Slices(self, charge, site)
        await meter.cover(1)
        try:
            yield meter
        finally:
            left = meter.sent
            for key, amount in meter.leases:
                await self._settled(key, charge, site, min(left, amount))
                left -= min(left, amount)

    async def request(self, principal: Principal) -> None:
        """Charge one request, whatever comes of it.

        Raises:
            QuotaExceeded: a policy stands in the way.
            LedgerUnavailable: the ledger cannot be written.
        """
        await self._charging.request(principal)

    def binds(self, principal: Principal, site: str) -> bool:
        """Tell whether some policy counts a principal's bytes at a site."""
        return bool(self._ledger.binds(principal.charge, [Line(resource=RESOURCE, amount=1, edge=site)]))

    async def check(self, principal: Principal, site: str, length: int) -> None:
        """Refuse where so many bytes could not be had; nothing is charged.

        Raises:
            QuotaExceeded: they could not.
        """
        lines = [Line(resource=RESOURCE, amount=length, edge=site)]
        if self._ledger.binds(principal.charge, lines):
            refusal = await self._ledger.check(principal.charge, lines)
            if refusal is not None:
                raise QuotaExceeded(refusal)

    async def reserve(self, charge: Charge, site: str, amount: int) -> str:
        """Reserve bytes; return the key of the lease.

        Raises:
            QuotaExceeded: they do not fit.
        """
        key = f"downloads/{uuid.uuid4()}"
        lines = [Line(resource=RESOURCE, amount=amount, edge=site)]
        left = ABSORB_SECONDS
        while True:
            answer = await self._ledger.reserve(key, charge, lines, ttl=self._ttl, why=_WHY)
            if not isinstance(answer, Refusal):
                self._open.add(key)
                return key
            wait = answer.retry_after
            if answer.on_exceed != "queue" or answer.never or wait is None or wait > left:
                raise QuotaExceeded(answer)
            left -= wait
            await self._pause(wait)

    async def _settled(self, key: str, charge: Charge, site: str, amount: int) -> None:
        """Settle also where the request is cancelled meanwhile."""
        self._open.discard(key)
        task = asyncio.create_task(self._settle(key, charge, site, amount), name="settle a download")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)

    async def _settle(self, key: str, charge: Charge, site: str, amount: int) -> None:
        try:
            if amount == 0:
                await self._ledger.release(key)
                return
            try:
                await self._ledger.commit(key, {RESOURCE: amount})
            except LeaseLost:  # it ran out while the ledger could not be written: what was sent counts all the same
                lines = [Line(resource=RESOURCE, amount=amount, edge=site)]
                again = f"{key}/again"
                answer = await self._ledger.reserve(again, charge, lines, ttl=self._ttl, why=_WHY)
                if isinstance(answer, Refusal):
                    raise QuotaExceeded(answer) from None
                await self._ledger.commit(again)
        except QuotaError as error:
            _log.warning("a download cannot be charged", extra={"bytes": amount, "error": str(error)})

    async def _renew_regularly(self) -> None:
        while True:
            await self._pause(self._ttl / 3)
            keys = list(self._open)
            for start in range(0, len(keys), _AT_ONCE):
                await asyncio.gather(*(self._renew(key) for key in keys[start : start + _AT_ONCE]))

    async def _renew(self, key: str) -> None:
        if key not in self._open:
            return
        try:
            await self._ledger.renew(key, ttl=self._ttl)
        except LeaseLost:
            self._open.discard(key)
            _log.warning("a download's lease has ended while it ran", extra={"key": key})
        except QuotaError as error:  # the next turn tries again
            _log.warning("a download's lease cannot be renewed", extra={"error": str(error)})
