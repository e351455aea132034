"""Events of orders, sent to who wants them: at least once, signed, later and later where nobody answers.

Sources: CloudEvents 1.0 (structured mode over HTTP), Standard Webhooks 1.0 (headers and signature).
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping

import aiohttp
import msgspec

from edges.errors import EdgeError
from edges.model import Json
from gateway.orders.model import Letter, Order, Staging
from gateway.records import RecordTable
from harvest.outbox import Delivery, cloud_event, pause_after, signature

_log = logging.getLogger(__name__)

SEND_SECONDS = 10.0
MAX_ATTEMPTS = 12
"""A letter that could not be delivered so often is given up."""


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
        self._session = session
        self._check = check
        self._keys = keys
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
        try:
            reason = await self._post(letter)
        except (aiohttp.ClientError, TimeoutError, EdgeError, OSError) as error:
            reason = str(error) or type(error).__name__
        attempts = letter.attempts + 1
        if not reason or attempts >= MAX_ATTEMPTS:
            await self._table.delete(letter.id)
        else:
            due = self._clock() + pause_after(letter.attempts)
            await self._table.put(msgspec.structs.replace(letter, attempts=attempts, due_at=due, held_until=0.0))
        if reason:
            extra = {"order": letter.order, "attempts": attempts, "reason": reason[:200]}
            _log.warning("an event of an order could not be delivered", extra=extra)

    async def _post(self, letter: Letter) -> str:
        """Post; return an empty text, or why it was not taken."""
        self._check(letter.url)
        key = self._keys.get(letter.secret)
        if letter.secret and key is None:
            return f"no key {letter.secret!r} is configured"
        body = msgspec.json.encode(cloud_event(_delivery(letter), self._source))
        stamp = int(self._clock())
        headers = {
            "Content-Type": "application/cloudevents+json",
            "webhook-id": letter.id,
            "webhook-timestamp": str(stamp),
        }
        if key is not None:
            headers["webhook-signature"] = signature(key, letter.id, stamp, body)
        timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
        async with self._session.post(
            letter.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"


def _delivery(letter: Letter) -> Delivery:
    return Delivery(
        seq=0,
        event=letter.id,
        type=letter.type,
        subject=letter.order,
        url=letter.url,
        kind="cloudevent",
        secret=letter.secret,
        attempts=letter.attempts,
        time=letter.made_at,
        data=letter.data,
    )
