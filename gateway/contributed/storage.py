"""What users' documents cost: bytes of storage, taken before they are written and given back once they are gone."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from quotas.errors import QuotaExceeded
from quotas.ledger import Ledger
from quotas.model import Charge, Line, Refusal


class StorageCharge:
    """Charges ``storage_bytes`` at the site ``edge``; a write that fails costs nothing.

    ``lease_seconds`` bounds how long what was taken stays taken where the gateway is killed before it has written.
    """

    def __init__(self, *, ledger: Ledger, edge: str, lease_seconds: float) -> None:
        self._ledger = ledger
        self._edge = edge
        self._lease = lease_seconds

    @asynccontextmanager
    async def changing(self, payer: Charge, amount: int, *, why: str) -> AsyncIterator[None]:
        """Take ``amount`` bytes while something is written that needs them; give them back where it is negative.

        Raises:
            QuotaExceeded: a policy stands in the way, and nothing was written.
        """
        if amount <= 0:
            yield
            await self.give_back(payer, -amount, why=why)
            return
        key = f"contributed/{uuid.uuid4()}"
        line = Line(resource="storage_bytes", amount=amount, edge=self._edge)
        answer = await self._ledger.reserve(key, payer, [line], ttl=self._lease, why=why)
        if isinstance(answer, Refusal):
            raise QuotaExceeded(answer)
        try:
            yield
        except BaseException:  # also where the request is given up: what was not written must not be paid for
            await asyncio.shield(self._ledger.release(key))
            raise
        await self._ledger.commit(key)

    async def give_back(self, payer: Charge, amount: int, *, why: str) -> None:
        """Give bytes back that were paid for."""
        if amount > 0:
            line = Line(resource="storage_bytes", amount=amount, edge=self._edge)
            await self._ledger.give_back(payer, line, key=f"contributed-refund/{uuid.uuid4()}", why=why)
