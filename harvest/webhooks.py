"""One event, posted once: its form, its signature, and what came of it.

Sources: CloudEvents 1.0 (structured mode over HTTP), Standard Webhooks 1.0 (headers and signature).
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import aiohttp

from edges.errors import EdgeError
from edges.model import Json
from harvest.model import Value

CLOUD_EVENT_TYPE = "application/cloudevents+json"

SEND_SECONDS = 10.0
"""How long one delivery may take."""

MAX_ATTEMPTS = 12
"""What could not be delivered so often is given up."""


class Event(Value, frozen=True):
    """What happened to ``subject``. ``time`` in epoch seconds."""

    id: str
    type: str
    subject: str
    time: float
    data: Json


class Message(Value, frozen=True):
    """What is posted. Its ``id`` is the same at every attempt; ``secret`` names the key that signs it."""

    id: str
    url: str
    secret: str
    body: bytes
    kind: str = CLOUD_EVENT_TYPE


def pause_after(attempts: int) -> float:
    """Return after how many seconds a delivery is tried again: from 5 s to an hour.

    >>> [pause_after(attempts) for attempts in (0, 1, 5, 20)]
    [5.0, 10.0, 160.0, 3600.0]
    """
    return min(3_600.0, 5.0 * 2.0 ** min(attempts, 20))


def cloud_event(event: Event, source: str) -> Json:
    """Return an event in the JSON format of CloudEvents 1.0."""
    time = datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": event.type,
        "subject": event.subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": event.data,
    }


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of Standard Webhooks: HMAC-SHA256 over id, time and body.

    >>> signature(b"k", "id", 1, b"{}")[:3]
    'v1,'
    """
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


class Poster:
    """Posts messages. ``check`` refuses addresses that may not be called; ``keys`` sign, by name."""

    def __init__(
        self, *, session: aiohttp.ClientSession, check: Callable[[str], None], keys: Mapping[str, bytes]
    ) -> None:
        self._session = session
        self._check = check
        self._keys = keys

    async def post(self, message: Message, stamp: int) -> str:
        """Post at ``stamp`` (epoch seconds); return an empty text, or why it was not taken."""
        try:
            return await self._post(message, stamp)
        except (aiohttp.ClientError, TimeoutError, EdgeError, OSError) as error:
            return str(error) or type(error).__name__

    async def _post(self, message: Message, stamp: int) -> str:
        self._check(message.url)
        key = self._keys.get(message.secret)
        if message.secret and key is None:
            return f"no key {message.secret!r} is configured"
        headers = {"Content-Type": message.kind, "webhook-id": message.id, "webhook-timestamp": str(stamp)}
        if key is not None:
            headers["webhook-signature"] = signature(key, message.id, stamp, message.body)
        timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
        async with self._session.post(
            message.url, data=message.body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"
