"""Orders of users, and the stagings behind them: given, found, withdrawn. Durable, and seen by every gateway."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import msgspec

from edges.errors import EdgeError, NotFound
from edges.model import Frozen, Json
from edges.ordering.model import Ordering, OrderRefused, OrderUnknown
from edges.settings import OrderSettings
from gateway.orders.model import Notify, Order, Staging, digest_of, key_of
from gateway.orders.states import advanced, ended, held, overdue, postponed, usable
from gateway.principal import Principal
from gateway.records import RecordTable

_log = logging.getLogger(__name__)

DAY = 86_400.0
MARGIN_SECONDS = 10.0
"""How much longer than a request to a provider the lease lasts under which it is made."""


MOST_OPEN = 1_000
"""Orders that one user may wait for at once, whatever the quotas say: each is kept, and asked for."""


class TooManyOrders(Exception):
    """A user waits for too many orders already."""

    status: ClassVar[int] = 429
    title: ClassVar[str] = "Too many orders"
    retry_after = 60


class Provider(Frozen, forbid_unknown_fields=False):
    """A site that takes orders: how it is asked, and its settings."""

    ordering: Ordering
    settings: OrderSettings

    @property
    def lease_seconds(self) -> float:
        """Return how long who asks it may take."""
        return 2 * self.settings.timeout_seconds + MARGIN_SECONDS

    @property
    def keep_seconds(self) -> float:
        """Return how long an order that has ended is told of."""
        return self.settings.keep_days * DAY


class Wanted(Frozen):
    """What is ordered: of which site's collection, with which parameters, and who is to be told."""

    site: str
    collection: str
    parameters: Json
    notify: tuple[Notify, ...] = ()


class Orders:
    """All orders. ``providers`` by site; ``holder`` is this gateway's name on leases."""

    def __init__(
        self,
        *,
        orders: RecordTable[Order],
        stagings: RecordTable[Staging],
        providers: Mapping[str, Provider],
        holder: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._orders = orders
        self._stagings = stagings
        self._providers = providers
        self._holder = holder
        self._clock = clock

    @property
    def sites(self) -> frozenset[str]:
        """Return the sites that take orders."""
        return frozenset(self._providers)

    async def place(self, principal: Principal, wanted: Wanted) -> tuple[Order, Staging, bool]:
        """Give an order, or share the one that was given for the same data; tell whether it is a new one.

        Raises:
            OrderRefused: the provider does not take it.
            NotFound: the site takes no orders.
            TooManyOrders: the principal waits for very many.
        """
        if wanted.site not in self._providers:
            raise NotFound(f"{wanted.site} takes no orders")
        self._check_room(principal)
        async with self._stagings.locked(digest_of(wanted.site, wanted.collection, wanted.parameters)):
            staging, is_new = await self._staging(wanted)
            order = await self._same(principal, staging)
            is_known = order is not None
            if order is None:
                order = self._made(principal, wanted, staging)
                await self._orders.put(order)
                joined = await self._joined(staging.id, order)
                while joined is None:  # it has ended a moment ago, at another gateway
                    staging, is_new = await self._staging(wanted)
                    order = msgspec.structs.replace(order, staging=staging.id)
                    await self._orders.put(order)
                    joined = await self._joined(staging.id, order)
                staging = joined
        if is_new:
            staging = await self._given(staging, order)
        return order, staging, not is_known

    async def find(self, principal: Principal, order_id: str) -> tuple[Order, Staging]:
        """Return one of the principal's orders.

        Raises:
            NotFound: there is none of this id, or it is somebody else's.
        """
        order = await self._orders.find(order_id)
        if order is None or not _is_of(principal, order):
            raise NotFound(f"no order {order_id!r}")
        staging = await self._stagings.find(order.staging)
        if staging is None:
            raise NotFound(f"no order {order_id!r}: it has ended long ago")
        return order, staging

    def of(self, principal: Principal) -> list[tuple[Order, Staging]]:
        """Return a principal's orders, the latest first."""
        mine = sorted((each for each in self._orders if _is_of(principal, each)), key=lambda each: -each.made_at)
        found = [(each, self._stagings.get(each.staging)) for each in mine]
        return [(order, staging) for order, staging in found if staging is not None]

    async def waiting_for(self, staging: Staging) -> list[Order]:
        """Return the orders behind which a staging stands."""
        found = [await self._orders.find(each) for each in staging.orders]
        return [each for each in found if each is not None and not each.withdrawn]

    async def withdraw(self, principal: Principal, order_id: str) -> tuple[Order, Staging]:
        """Take an order back; where nobody else waits for the same data, the provider is told.

        Raises:
            NotFound: as :meth:`find`.
        """
        order, staging = await self.find(principal, order_id)
        order = msgspec.structs.replace(order, withdrawn=True)
        await self._orders.put(order)
        left = await self._left(staging.id, order)
        if left is None:
            return order, staging
        was_open, staging = left
        if was_open and staging.ended and staging.handle is not None:
            try:
                await self._providers[staging.site].ordering.cancel(staging.handle)
            except EdgeError as error:
                _log.warning("an order was not withdrawn", extra={"site": staging.site, "reason": str(error)[:200]})
        return order, staging

    async def ask(self, staging_id: str) -> tuple[Staging, Staging] | None:
        """Ask the provider of a staging that is due; return it before and after, None where somebody else asks."""
        now = self._clock()
        async with self._stagings.locked(staging_id) as current:
            provider = self._providers.get(current.site) if current is not None else None
            if current is None or provider is None:
                return None
            unknown = current.interrupted and not provider.ordering.repeats
            mine = held(current, self._holder, now, seconds=provider.lease_seconds)
            if mine is None:
                return None
            await self._stagings.put(mine)
        if unknown:
            error = OrderUnknown(mine.site, "the gateway was stopped while it asked")
            return current, await self._unknown(mine, error)
        try:
            return current, await self._asked(mine)
        except OrderRefused:
            return current, self._stagings.get(staging_id) or current

    async def forget_old(self) -> None:
        """Give up what was waited for long enough; forget what ended long ago."""
        now = self._clock()
        for staging in [each for each in self._stagings if overdue(each, now)]:
            if staging.ended:
                for order in [each for each in self._orders if each.staging == staging.id]:
                    await self._orders.delete(order.id)
                await self._stagings.delete(staging.id)
            elif staging.site in self._providers:
                await self._given_up(staging.id, now)

    def due(self) -> list[str]:
        """Return the stagings whose providers are to be asked now."""
        now = self._clock()
        return [
            each.id
            for each in self._stagings
            if not each.ended and each.due_at <= now and each.held_until <= now and each.site in self._providers
        ]

    async def _staging(self, wanted: Wanted) -> tuple[Staging, bool]:
        """Return the staging that serves a new order, and whether it was made for it; the caller holds its lock."""
        now, provider = self._clock(), self._providers[wanted.site]
        digest = digest_of(wanted.site, wanted.collection, wanted.parameters)
        number = 0
        while (found := await self._stagings.find(f"{digest}-{number}")) is not None:
            if usable(found, now):
                return found, False
            number += 1
        made = Staging(
            id=f"{digest}-{number}",
            site=wanted.site,
            collection=wanted.collection,
            parameters=wanted.parameters,
            made_at=now,
            changed_at=now,
            due_at=now,
            ends_at=now + provider.settings.wait_days * DAY,
            holder=self._holder,
            held_until=now + provider.lease_seconds,
        )
        await self._stagings.put(made)
        return made, True

    async def _same(self, principal: Principal, staging: Staging) -> Order | None:
        waiting = await self.waiting_for(staging)
        return next((each for each in waiting if _is_of(principal, each)), None)

    async def _joined(self, staging_id: str, order: Order) -> Staging | None:
        """Let an order wait for a staging; None where that serves nobody any more."""
        async with self._stagings.locked(staging_id) as current:
            if current is None or not usable(current, self._clock()):
                return None
            joined = msgspec.structs.replace(current, orders=(*current.orders, order.id))
            await self._stagings.put(joined)
            return joined

    async def _left(self, staging_id: str, order: Order) -> tuple[bool, Staging] | None:
        """Let an order wait no more; a staging that nobody waits for is over. Tell whether it was open before."""
        async with self._stagings.locked(staging_id) as current:
            if current is None:
                return None
            orders = tuple(each for each in current.orders if each != order.id)
            left = msgspec.structs.replace(current, orders=orders)
            if not orders and not current.ended and current.site in self._providers:
                keep = self._providers[current.site].keep_seconds
                left = ended(left, "canceled", reason="nobody waits for it", now=self._clock(), keep_seconds=keep)
            await self._stagings.put(left)
            return not current.ended, left

    def _check_room(self, principal: Principal) -> None:
        stands = sum(1 for order, staging in self.of(principal) if not staging.ended and not order.withdrawn)
        if stands >= MOST_OPEN:
            raise TooManyOrders(f"you wait for {stands} orders; withdraw some, or come again when some have ended")

    def _made(self, principal: Principal, wanted: Wanted, staging: Staging) -> Order:
        return Order(
            id=str(uuid.uuid4()),
            staging=staging.id,
            site=wanted.site,
            collection=wanted.collection,
            user=principal.user,
            group=principal.charging_group,
            made_at=self._clock(),
            notify=wanted.notify,
        )

    async def _given(self, staging: Staging, order: Order) -> Staging:
        """Give an order to its provider at once; where that cannot be asked now, it is asked later."""
        try:
            return await self._asked(staging)
        except OrderRefused:
            await self._orders.delete(order.id)
            raise

    async def _asked(self, staging: Staging) -> Staging:
        """Ask a provider under a lease, and write what came of it.

        Raises:
            OrderRefused: the provider does not take the order; that is written, too.
        """
        provider = self._providers[staging.site]
        keep = provider.keep_seconds
        try:
            if staging.handle is None:  # new, or the gateway was killed before the provider had answered
                report = await provider.ordering.place(staging.collection, staging.parameters, key=key_of(staging))
            else:
                report = await provider.ordering.look(staging.handle)
        except OrderRefused as error:
            await self._moved(staging, partial(ended, status="failed", reason=error.reason, keep_seconds=keep))
            raise
        except OrderUnknown as error:
            return await self._unknown(staging, error)
        except EdgeError as error:
            return await self._moved(staging, partial(postponed, reason=str(error)))
        return await self._moved(staging, partial(advanced, report=report, keep_seconds=keep))

    async def _unknown(self, staging: Staging, error: OrderUnknown) -> Staging:
        """End an order of which nobody knows whether the provider took it: given again it might be done twice."""
        keep = self._providers[staging.site].keep_seconds
        return await self._moved(staging, partial(ended, status="failed", reason=error.reason, keep_seconds=keep))

    async def _moved(self, mine: Staging, change: Callable[..., Staging]) -> Staging:
        """Write what came of asking, if the lease is still ours: who was too slow has nothing more to say."""
        async with self._stagings.locked(mine.id) as current:
            if current is None or (current.holder, current.held_until) != (mine.holder, mine.held_until):
                return current or mine
            changed = change(current, now=self._clock())
            await self._stagings.put(changed)
            return changed

    async def _given_up(self, staging_id: str, now: float) -> None:
        async with self._stagings.locked(staging_id) as current:
            if current is not None and overdue(current, now) and not current.ended:
                keep = self._providers[current.site].keep_seconds
                reason = "it was not staged in time"
                await self._stagings.put(ended(current, "failed", reason=reason, now=now, keep_seconds=keep))


def _is_of(principal: Principal, order: Order) -> bool:
    return principal.user == order.user and not principal.anonymous
