"""The desk: takes HOOK orders in, keeps them, and sees to it that they go on.

An order is written down before anything is done for it, so that another gateway, or this one after a crash, goes on
with it. Each product is one harvest order under a key of its own: however often it is asked for, it is made once.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec

from edges.errors import InvalidInput
from gateway.background import beside
from gateway.hook.books import Books
from gateway.hook.buckets import new_place_name
from gateway.hook.externals import new_source_name
from gateway.hook.following import Follower, request_of
from gateway.hook.inputs import Wish
from gateway.hook.model import HookOrder, Product
from gateway.principal import Principal
from gateway.records import RecordsUnavailable
from harvest.errors import HarvestError
from harvest.harvester import Harvester
from harvest.model import Estimate
from harvest.places import PRIVATE
from harvest.settings import HookSettings
from quotas.errors import QuotaError, QuotaExceeded
from quotas.ledger import Ledger
from quotas.model import Line, Refusal

_log = logging.getLogger(__name__)

AT_ONCE = 8
"""Orders that are dealt with at once: a catalogue that is slow keeps its own orders waiting, not the others."""
TURN_SECONDS = 1.0
_LEASE_SECONDS = 60.0
_ONE = Line(resource="hook_orders", amount=1)


class OrderUnknown(Exception):
    """There is no such order (or it is somebody else's, which reads the same)."""

    status: ClassVar[int] = 404
    title: ClassVar[str] = "No such order"


class Desk:
    """Deals with HOOK orders; ``target`` is the site whose bucket takes temporary outputs where none is named."""

    def __init__(
        self,
        *,
        books: Books,
        harvester: Harvester,
        ledger: Ledger,
        settings: HookSettings,
        target: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._books = books
        self._harvester = harvester
        self._ledger = ledger
        self._settings = settings
        self._target = target
        self._clock = clock
        self._follower = Follower(books=books, harvester=harvester, settings=settings, clock=clock)
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # -- what users do ---------------------------------------------------------------------------------------

    async def take(self, wish: Wish, principal: Principal) -> HookOrder:
        """Take an order in; its products are asked for in the background.

        Raises:
            InvalidInput, TargetRefused: its outputs cannot go where it says.
            QuotaExceeded: the user has ordered as much as they may.
            QuotaError, RecordsUnavailable: it cannot be written down.
        """
        first = await self._books.take_numbers(1 + len(wish.identifiers))
        order = self._written(wish, principal, first)
        if order.bucket is None:
            self._harvester.check(request_of(order, order.products[0]), principal.charge)
        await self._charge(order, principal)
        await self._books.orders.put(order)
        await self._ledger.commit(_lease(order))
        self._woken.set()
        _log.info("an order was taken in", extra={"order": order.id, "products": len(order.products)})
        return order

    def _written(self, wish: Wish, principal: Principal, first: int) -> HookOrder:
        """Return an order as it is kept: with its secrets sealed."""
        order_id, output = str(first), wish.output
        source = new_source_name(order_id) if wish.catalogue is not None else ""
        target = output.site or self._target
        if output.shared:
            target = PRIVATE + output.shared
        elif output.bucket is not None:
            target = new_place_name(order_id)
        order = HookOrder(
            id=order_id,
            kind=wish.kind,
            name=wish.name,
            user=principal.user,
            group=principal.charging_group,
            created=self._clock(),
            collection=wish.collection,
            target=target,
            temporary=output.temporary,
            products=tuple(
                Product(number=number, reference=each) for number, each in enumerate(wish.identifiers, start=first + 1)
            ),
            options=wish.options,
            priority=wish.priority,
            prefix=output.prefix,
            source=source,
            catalogue=wish.catalogue,
            bucket=output.bucket,
        )
        sealed = self._books.sealer.seal(wish.secrets, owner=order.owner)
        return msgspec.structs.replace(order, sealed=sealed)

    async def _charge(self, order: HookOrder, principal: Principal) -> None:
        why = f"HOOK order {order.id}"
        answer = await self._ledger.reserve(_lease(order), principal.charge, [_ONE], ttl=_LEASE_SECONDS, why=why)
        if isinstance(answer, Refusal):
            raise QuotaExceeded(answer)

    def orders_of(self, principal: Principal) -> list[HookOrder]:
        """Return a user's orders, the latest first."""
        found = [order for order in self._books.orders if order.user == principal.user]
        return sorted(found, key=lambda order: -order.number)

    async def order(self, number: int, principal: Principal) -> HookOrder:
        """Return one order.

        Raises:
            OrderUnknown: there is none of this user.
        """
        order = await self._books.orders.find(str(number))
        if order is None or (order.user != principal.user and not principal.admin):
            raise OrderUnknown(f"there is no order {number}")
        return order

    async def linked_order(self, number: int) -> HookOrder:
        """Return one order for who has a link to it; raise OrderUnknown where there is none."""
        order = await self._books.orders.find(str(number))
        if order is None:
            raise OrderUnknown(f"there is no order {number}")
        return order

    async def fresh(self, order: HookOrder) -> HookOrder:
        """Return an order as it stands now."""
        return order if order.ended is not None else await self._follower.seen(order)

    async def cancel(self, order: HookOrder) -> HookOrder:
        """Cancel what of an order has not ended."""
        return await self._follower.cancel(order)

    async def estimate(self, wish: Wish, principal: Principal) -> list[Estimate]:
        """Tell what each product of a wish would cost, of those that our own sites hold.

        Raises:
            InvalidInput: the wish is for a catalogue elsewhere.
            EdgeError, QuotaError: a site or the ledger does not answer.
        """
        if wish.catalogue is not None:
            raise InvalidInput("source_type", "EXTERNAL cannot be estimated: nobody is asked before the order", "DESP")
        order = self._written(wish, principal, 0)
        if order.bucket is not None:  # what it costs is the same wherever it goes
            order = msgspec.structs.replace(order, target=self._target, temporary=True)
        return [
            await self._harvester.estimate(request_of(order, product), principal.charge) for product in order.products
        ]

    # -- in the background -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deal with orders while the context lasts; what is cut off goes on next time."""
        async with beside(self._work(), name="hook desk"):
            try:
                yield
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.turn()
            except RecordsUnavailable as error:
                _log.warning("orders could not be looked at", extra={"reason": str(error)})
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Begin what is due for each order; nobody waits for one that is slow."""
        await self._books.buckets.follow()
        now = self._clock()
        for order in self._books.orders:
            if order.ended is not None:
                if now - order.ended > self._settings.keep_days * 86_400:
                    await self._books.orders.delete(order.id)
            elif order.id not in self._tasks:
                task = asyncio.create_task(self._deal(order), name=f"hook-order-{order.id}")
                self._tasks[order.id] = task
                task.add_done_callback(lambda _, done=order.id: self._tasks.pop(done, None))  # type: ignore[misc] # a default binds the loop's value

    async def _deal(self, order: HookOrder) -> None:
        async with self._slots:
            try:
                await self._follower.advance(order)
            except (HarvestError, QuotaError, RecordsUnavailable) as error:
                _log.warning("an order is dealt with later", extra={"order": order.id, "reason": str(error)})
            except Exception:  # noqa: BLE001 - the boundary of a background task: one order must not end the rest
                _log.exception("an order could not be dealt with", extra={"order": order.id})


def _lease(order: HookOrder) -> str:
    return f"hook/{order.id}"
