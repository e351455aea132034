"""One order at a time: its products asked for, followed, and concluded."""

import logging
from collections.abc import Callable, Sequence

import msgspec

from edges.errors import EdgeError, InvalidInput, NotFound
from edges.model import Query
from gateway.hook.books import Books
from gateway.hook.model import ENDED, HookOrder, Product
from gateway.hook.progress import concluded, failed, followed, spellings, status_of
from gateway.hook.sealing import Unsealable
from gateway.hook.tokens import CredentialsRefused
from harvest.errors import HarvestError, KeyReused, OrderGone, OrderNotFound, OrderRefused, TargetRefused
from harvest.harvester import Harvester
from harvest.model import PRIORITIES, OrderRequest
from harvest.settings import HookSettings
from quotas.errors import QuotaError, QuotaExceeded
from quotas.model import Charge

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""After how long a product is asked for again where a site or the ledger does not answer."""
LONGEST_AGAIN = 300.0
GIVE_UP_SECONDS = 6 * 3600.0
"""For how long after its order a product is asked for again."""
KEYS_SECONDS = 7 * 86_400.0
"""When the keys of a bucket are forgotten in any case, though something is left to be cleared away in it."""
DEFAULT_PRIORITY = 3
_FINAL = (
    *(InvalidInput, NotFound, CredentialsRefused, Unsealable),
    *(TargetRefused, OrderRefused, KeyReused),
)
"""What asking again would not change."""


class Follower:
    """Carries orders forward. Every step may be repeated, and begins from what is written down."""

    def __init__(
        self, *, books: Books, harvester: Harvester, settings: HookSettings, clock: Callable[[], float]
    ) -> None:
        self._books = books
        self._harvester = harvester
        self._settings = settings
        self._clock = clock

    async def advance(self, order: HookOrder) -> None:
        """Do what is due for an order, and write down what has changed.

        Raises:
            RecordsUnavailable: it cannot be written down; all of it is due again.
        """
        if not await self._is_due(order):
            return
        async with self._books.orders.locked(order.id) as current:
            if current is None or current.ended is not None:
                return
            seen = await self.seen(current)
            for product in self._startable(seen):
                seen = _with(seen, await self._started(seen, product))
                await self._books.orders.put(seen)
            seen = await self._closed(seen)
            if seen != current:
                await self._books.orders.put(seen)

    async def cancel(self, order: HookOrder) -> HookOrder:
        """Cancel what of an order has not ended; return it as it stands then."""
        async with self._books.orders.locked(order.id) as current:
            if current is None:
                return order
            seen = await self.seen(current)
            for product in seen.products:
                if product.status not in ENDED:
                    if product.job:
                        await self._cancel_job(product.job)
                    said = {"status": "cancelled", "message": "cancelled", "completed": self._clock()}
                    seen = _with(seen, msgspec.structs.replace(product, **said))
            seen = msgspec.structs.replace(seen, cancelled=True)
            await self._books.orders.put(seen)
            return seen

    async def _cancel_job(self, job: str) -> None:
        try:
            await self._harvester.cancel(job)
        except (OrderGone, OrderNotFound):
            _log.info("a product's harvest was over already", extra={"job": job})

    # -- what is due -----------------------------------------------------------------------------------------

    async def _is_due(self, order: HookOrder) -> bool:
        """Tell whether there is something to do or to write: without the lock, which others may hold for long."""
        if all(product.status in ENDED for product in order.products):
            return order.ended is None
        seen = await self.seen(order)
        return seen != order or bool(self._startable(seen))

    def _startable(self, order: HookOrder) -> Sequence[Product]:
        """Return the products to be asked for now: so many of one order at once."""
        going = sum(bool(product.job) and product.status not in ENDED for product in order.products)
        room = max(0, self._settings.at_once - going)
        now = self._clock()
        waiting = [each for each in order.products if not each.job and each.status not in ENDED]
        return [each for each in waiting[:room] if each.not_before <= now]

    # -- products --------------------------------------------------------------------------------------------

    async def seen(self, order: HookOrder) -> HookOrder:
        """Return an order with its products as their harvests stand."""
        for product in order.products:
            if product.job and product.status not in ENDED:
                order = _with(order, await self._looked_at(order, product))
        return order

    async def _looked_at(self, order: HookOrder, product: Product) -> Product:
        now = self._clock()
        try:
            job = await self._harvester.status(product.job)
            if status_of(job) not in ENDED:
                return followed(product, job)
            results = await self._harvester.results(product.job)
        except OrderNotFound:
            return failed(product, "its harvest is not known any more", now)
        except EdgeError as error:  # the bucket is not open here yet: another time
            _log.info("a product is looked at later", extra={"order": order.id, "reason": str(error)})
            return product
        return concluded(order, product, job, results, now)

    async def _started(self, order: HookOrder, product: Product) -> Product:
        """Return a product whose harvest was asked for, or that has to wait, or that cannot be had."""
        now = self._clock()
        try:
            await self._books.buckets.open(order)
            key = f"hook-{order.id}-{product.number}-{product.attempt}"
            charge = Charge(group=order.group, user=order.user)
            job = await self._harvester.submit(request_of(order, product), charge, idempotency_key=key)
        except QuotaExceeded as error:
            if error.refusal.never:
                return failed(product, str(error), now)
            pause = min(max(1.0, error.refusal.retry_after or AGAIN_SECONDS), LONGEST_AGAIN)
            return _put_off(product, error.refusal.sentence(), now + pause)
        except _FINAL as error:
            return failed(product, str(error), now)
        except (EdgeError, HarvestError, QuotaError) as error:
            _log.warning("a product is asked for again", extra={"order": order.id, "reason": str(error)})
            if now - order.created > GIVE_UP_SECONDS:
                return failed(product, str(error), now)
            return _put_off(product, str(error), now + AGAIN_SECONDS)
        return followed(msgspec.structs.replace(product, job=job.id), job)

    # -- the end ---------------------------------------------------------------------------------------------

    async def _closed(self, order: HookOrder) -> HookOrder:
        """Return an order ended and without its secrets, once all its products have and nothing needs these."""
        if any(product.status not in ENDED for product in order.products):
            return order
        now = self._clock()
        last = max((product.completed or order.created for product in order.products), default=now)
        keys = order.bucket is not None and bool(order.sealed) and now - last < KEYS_SECONDS
        if keys and not await self._harvester.at_rest(order.target):
            return order
        await self._books.forget_secrets(order)
        _log.info("an order has ended", extra={"order": order.id, "status": order.status})
        return msgspec.structs.replace(order, sealed="", ended=now)


def request_of(order: HookOrder, product: Product) -> OrderRequest:
    """Return the harvest that brings one product of an order."""
    wanted = DEFAULT_PRIORITY if order.priority is None else order.priority
    return OrderRequest(
        query=Query(
            collections=(order.collection,) if order.collection else None,
            ids=(spellings(product.reference)[product.attempt],),
            sites=(order.source,) if order.source else None,
        ),
        target=order.target,
        prefix=order.prefix,
        priority=min(max(wanted, PRIORITIES[0]), PRIORITIES[-1]),
        temporary=order.temporary,
        executor="local" if order.source else None,  # nobody far away is told the order's credentials
    )


def _put_off(product: Product, why: str, until: float) -> Product:
    return msgspec.structs.replace(product, message=why[:500], not_before=until)


def _with(order: HookOrder, product: Product) -> HookOrder:
    """Return an order with one product as it is now."""
    products = tuple(product if each.number == product.number else each for each in order.products)
    return order if products == order.products else msgspec.structs.replace(order, products=products)
