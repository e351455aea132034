"""Events of orders, sent to who wants them: at least once, signed, later and later where nobody answers."""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping

import aiohttp
import msgspec

from edges.model import Json
from gateway.orders.model import Letter, Order, Staging
from gateway.records import RecordTable
from harvest.webhooks import MAX_ATTEMPTS, SEND_SECONDS, Event, Message, Poster, cloud_event, pause_after

_log = logging.getLogger(__name__)


class Letters:
    """Writes and sends letters. ``check`` refuses addresses that may not be called; ``keys`` sign, by name."""

    def __init__(
        self,
        *,
        table: RecordTable[Letter],
        session: aiohttp.ClientSession,
        check: Callable[[str], None],
        keys: Mapping[str, bytes],
        source: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._poster = Poster(session=session, check=check, keys=keys)
        self._source = source
        self._clock = clock

    async def write(self, staging: Staging, orders: Iterable[Order], data: Callable[[Order], Json]) -> None:
        """Write to all who want to know of these orders."""
        now = self._clock()
        for order in orders:
            for place, each in enumerate(order.notify):
                name = f"{order.id}/{staging.status}/{place}"  # written again after a crash, it is the same letter
                letter = Letter(
                    id=str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
                    order=order.id,
                    type=f"org.lakegate.order.{staging.status}",
                    url=each.url,
                    secret=each.secret,
                    data=data(order),
                    made_at=now,
                    due_at=now,
                )
                await self._table.put(letter)

    async def send(self) -> None:
        """Send what is due and nobody else sends."""
        now = self._clock()
        for letter in [each for each in self._table if each.due_at <= now and each.held_until <= now]:
            async with self._table.locked(letter.id) as current:
                if current is None or current.held_until > now:
                    continue
                taken = msgspec.structs.replace(current, held_until=now + 2 * SEND_SECONDS)
                await self._table.put(taken)
            await self._deliver(taken)

    async def _deliver(self, letter: Letter) -> None:
        event = Event(id=letter.id, type=letter.type, subject=letter.order, time=letter.made_at, data=letter.data)
        body = msgspec.json.encode(cloud_event(event, self._source))
        message = Message(id=letter.id, url=letter.url, secret=letter.secret, body=body)
        reason = await self._poster.post(message, int(self._clock()))
        attempts = letter.attempts + 1
        if not reason or attempts >= MAX_ATTEMPTS:
            await self._table.delete(letter.id)
        else:
            due = self._clock() + pause_after(letter.attempts)
            await self._table.put(msgspec.structs.replace(letter, attempts=attempts, due_at=due, held_until=0.0))
        if reason:
            extra = {"order": letter.order, "attempts": attempts, "reason": reason[:200]}
            _log.warning("an event of an order could not be delivered", extra=extra)
