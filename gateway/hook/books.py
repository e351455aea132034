"""What is known of HOOK orders before anything is done for them: the records, their secrets, and what these open."""

from dataclasses import dataclass

from gateway.hook.buckets import OwnBuckets
from gateway.hook.externals import Externals
from gateway.hook.model import HookOrder, Numbers
from gateway.hook.sealing import Sealer
from gateway.records import RecordTable

_COUNTER = "numbers"


@dataclass(frozen=True, kw_only=True)
class Books:
    """The records of orders and of the numbers given, and what is made of them."""

    orders: RecordTable[HookOrder]
    numbers: RecordTable[Numbers]
    sealer: Sealer
    buckets: OwnBuckets
    externals: Externals

    async def take_numbers(self, count: int) -> int:
        """Return the first of ``count`` numbers that no other order or product has, of whichever gateway."""
        async with self.numbers.locked(_COUNTER) as counter:
            last = counter.last if counter is not None else 0
            await self.numbers.put(Numbers(id=_COUNTER, last=last + count))
        return last + 1

    async def forget_secrets(self, order: HookOrder) -> None:
        """Forget, in memory, what an order's secrets opened."""
        await self.buckets.close(order.target)
        self.externals.forget(order.source)
