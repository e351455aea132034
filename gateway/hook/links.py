"""Download links: signed, for a while, for who has no token. Pure."""

import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import ClassVar

from gateway.hook.model import HookOrder, Product

STORAGE = "/odata/v1/tmp-storage"


class LinkRefused(Exception):
    """The link is not one that was given, or its time is over."""

    status: ClassVar[int] = 401
    title: ClassVar[str] = "This link is not valid"


class Links:
    """Gives links and checks them. ``base`` is the public URL; a link is good for ``seconds`` at most."""

    def __init__(self, *, key: bytes, base: str, seconds: float) -> None:
        self._key = hmac.digest(key, b"lakegate hook links", "sha256")
        self._base = base
        self._seconds = seconds

    def link(self, order: HookOrder, product: Product, now: float) -> str | None:
        """Return the link to a product's archive, or None where there is none to download."""
        if not order.temporary or product.status != "completed":
            return None
        until = int(min(now + self._seconds, product.until or now + self._seconds))
        if until <= now:
            return None
        path = f"{STORAGE}/{order.id}/{self.name(order, product)}"
        return f"{self._base}{path}?temp_url_sig={self._signature(path, until)}&temp_url_expires={until}"

    def name(self, order: HookOrder, product: Product) -> str:
        """Return the name of a product's archive: the day, its number, and letters that nobody can guess."""
        day = datetime.fromtimestamp(order.created, UTC).strftime("%Y%m%d")
        digest = hmac.digest(self._key, f"name/{order.id}/{product.number}".encode(), "sha256")
        return f"{day}_{product.number}_{urlsafe_b64encode(digest)[:8].decode().replace('_', 'x')}.zip"

    def check(self, path: str, signature: str, expires: str, now: float) -> None:
        """Check a link.

        Raises:
            LinkRefused: it was not given here, or its time is over.
        """
        until = int(expires) if expires.isascii() and expires.isdigit() and len(expires) < 15 else 0
        if not hmac.compare_digest(self._signature(path, until).encode(), signature.encode()):
            raise LinkRefused("this link was not given here; ask for the order's products again")
        if until <= now:
            raise LinkRefused("the time of this link is over; ask for the order's products again")

    def _signature(self, path: str, until: int) -> str:
        return hmac.new(self._key, f"{path}\n{until}".encode(), "sha256").hexdigest()
