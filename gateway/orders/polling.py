"""The work beside the requests: providers are asked how orders are, users are told, what is old is forgotten."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from edges.model import Json
from gateway.background import beside
from gateway.orders.letters import Letters
from gateway.orders.model import Order, Staging
from gateway.orders.orders import Orders
from gateway.records import RecordsUnavailable

_log = logging.getLogger(__name__)

AT_ONCE = 16
"""So many providers are asked at once."""


class Polling:
    """Asks and tells while its context lasts. ``tell`` makes what a letter says of an order."""

    def __init__(
        self,
        *,
        orders: Orders,
        letters: Letters,
        tell: Callable[[Order, Staging], Json],
        tick_seconds: float = 0.5,
    ) -> None:
        self._orders = orders
        self._letters = letters
        self._tell = tell
        self._tick = tick_seconds
        self._places = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the context lasts."""
        async with beside(self._poll(), name="ask for orders"), beside(self._send(), name="tell of orders"):
            yield

    async def told(self, staging: Staging) -> None:
        """Write to those who wait for a staging that has changed."""
        orders = await self._orders.waiting_for(staging)
        await self._letters.write(staging, orders, lambda order: self._tell(order, staging))

    async def _poll(self) -> None:
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for staging_id in self._orders.due():
                        tasks.create_task(self._ask(staging_id))
                await self._orders.forget_old()
            except* RecordsUnavailable as errors:
                _log.warning("orders cannot be read", extra={"reason": str(errors.exceptions[0])[:200]})
            await asyncio.sleep(self._tick)

    async def _ask(self, staging_id: str) -> None:
        async with self._places:
            try:
                moved = await self._orders.ask(staging_id)
            except RecordsUnavailable:
                raise
            except Exception:  # noqa: BLE001 - the boundary of what a provider can do
                # it must not end the polling of the others
                _log.exception("an order could not be asked for", extra={"staging": staging_id})
                return
            if moved is not None and moved[0].status != moved[1].status:
                await self.told(moved[1])

    async def _send(self) -> None:
        while True:
            try:
                await self._letters.send()
            except RecordsUnavailable as error:
                _log.warning("events of orders cannot be read", extra={"reason": str(error)[:200]})
            await asyncio.sleep(self._tick)
