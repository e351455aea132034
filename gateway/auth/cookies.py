"""Session cookies: who asks, authenticated by us (HMAC-SHA-256), for a bounded time."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable

import msgspec
from aiohttp import web

from edges.model import Frozen
from gateway.principal import Principal

SESSION_COOKIE = "lakegate_session"
SESSION_SECONDS = 12 * 3600
"""How long a browser stays signed in: a working day."""

_PURPOSE = b"lakegate session cookie 1\0"
"""Makes our key apart from other uses of the same secret."""


class Session(Frozen):
    """What a cookie says: the principal, until when (epoch seconds), and by which credentials."""

    principal: Principal
    expires_at: float
    via: str = ""


class SessionCookies:
    """Makes and reads cookies. Whoever has ``key`` can make one; another key makes all of them invalid."""

    def __init__(self, key: bytes, *, secure: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(key, _PURPOSE, hashlib.sha256)
        self._secure = secure
        self._clock = clock
        self._decoder = msgspec.json.Decoder(Session)

    def sign(self, principal: Principal, *, seconds: int, via: str = "") -> str:
        """Return a value that tells the principal for so many seconds."""
        session = Session(principal=principal, expires_at=self._clock() + seconds, via=via)
        payload = _text(msgspec.json.encode(session))
        return f"{payload}.{_text(self._mac(payload))}"

    def verify(self, value: str) -> Principal | None:
        """Return whom the value tells; None if it is not ours or its time is over."""
        session = self.session(value)
        return None if session is None else session.principal

    def session(self, value: str) -> Session | None:
        """Return all that the value says; None if it is not ours or its time is over."""
        payload, _, mac = value.partition(".")
        try:
            if not hmac.compare_digest(_bytes(mac), self._mac(payload)):
                return None
            session = self._decoder.decode(_bytes(payload))
        except (binascii.Error, ValueError, msgspec.DecodeError):  # another's cookie, or an older version's
            return None
        return session if session.expires_at > self._clock() else None

    def _mac(self, payload: str) -> bytes:
        return hmac.digest(self._key, payload.encode("utf-8", "replace"), hashlib.sha256)

    def set(
        self, response: web.StreamResponse, principal: Principal, *, via: str, seconds: int = SESSION_SECONDS
    ) -> None:
        """Sign a browser in, by the response's cookie."""
        value = self.sign(principal, seconds=seconds, via=via)
        response.set_cookie(
            SESSION_COOKIE,
            value,
            max_age=seconds,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Lax",
        )

    def clear(self, response: web.StreamResponse) -> None:
        """Sign a browser out."""
        response.del_cookie(SESSION_COOKIE, path="/", httponly=True, secure=self._secure, samesite="Lax")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
