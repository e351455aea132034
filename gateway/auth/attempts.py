"""A browser's sign-in under way, kept by the browser in a cookie that we authenticate (HMAC-SHA-256). Pure."""

import base64
import binascii
import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

import msgspec

from edges.model import Frozen

ATTEMPT_SECONDS = 600
"""How long a sign-in at the provider may take."""
MAX_NEXT = 2_000
"""The longest page address that a sign-in leads back to, in characters."""

_PURPOSE = b"lakegate sign-in 1\0"


class Attempt(Frozen):
    """What binds the provider's answer to this browser: state, nonce (OpenID Connect) and verifier (RFC 7636)."""

    issuer: str
    state: str
    nonce: str
    verifier: str
    next: str
    expires_at: float

    @property
    def challenge(self) -> str:
        """Return what the provider is told of the verifier (method S256)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


class Attempts:
    """Makes and reads sign-ins under way. Whoever has ``key`` can make one."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, _PURPOSE, hashlib.sha256)
        self._decoder = msgspec.json.Decoder(Attempt)

    def begin(self, issuer: str, *, next_page: str, now: float) -> Attempt:
        """Return a new one that leads back to a page of ours."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return Attempt(
            issuer=issuer,
            state=state,
            nonce=nonce,
            verifier=verifier,
            next=own_page(next_page),
            expires_at=now + ATTEMPT_SECONDS,
        )

    def seal(self, attempt: Attempt) -> str:
        """Return a cookie's value."""
        payload = _text(msgspec.json.encode(attempt))
        return f"{payload}.{_text(self._mac(payload))}"

    def unseal(self, value: str, *, now: float) -> Attempt | None:
        """Return the sign-in; None if the value is not ours or its time is over."""
        payload, _, mac = value.partition(".")
        try:
            if not hmac.compare_digest(_bytes(mac), self._mac(payload)):
                return None
            attempt = self._decoder.decode(_bytes(payload))
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None
        return attempt if attempt.expires_at > now else None

    def _mac(self, payload: str) -> bytes:
        return hmac.digest(self._key, payload.encode("utf-8", "replace"), hashlib.sha256)


def own_page(address: str) -> str:
    """Return the address if it is a path on this gateway, else the start page: no open redirect."""
    parts = urlsplit(address) if address.isprintable() and len(address) <= MAX_NEXT else None
    foreign = parts is None or parts.scheme or parts.netloc or "\\" in address
    return "/" if foreign or not address.startswith("/") or address.startswith("//") else address


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
