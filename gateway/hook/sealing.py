"""Secrets at rest: sealed with a key that is derived from the gateway's own, each bound to its order.

AES-256 in GCM (NIST SP 800-38D), a random nonce of 96 bits for each; what it belongs to is authenticated with it, so
that a sealed secret opens in no other order.
"""

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class Unsealable(Exception):
    """What was sealed cannot be opened: the gateway's key is another one now, or it is not what was sealed."""

    status: ClassVar[int] = 410
    title: ClassVar[str] = "The order's credentials are no longer there"


class Sealer:
    """Seals with ``key``; opens what was sealed with it or with one of the ``former`` ones."""

    def __init__(self, key: bytes, *, former: Sequence[bytes] = ()) -> None:
        self._keys = [AESGCM(hmac.digest(each, b"lakegate hook secrets", "sha256")) for each in (key, *former)]

    def seal(self, secrets: Mapping[str, str], *, owner: str) -> str:
        """Return secrets sealed; empty where there are none. ``owner`` is what they belong to."""
        if not secrets:
            return ""
        nonce = os.urandom(_NONCE)
        sealed = self._keys[0].encrypt(nonce, msgspec.json.encode(secrets), owner.encode())
        return urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, owner: str) -> dict[str, str]:
        """Return what was sealed.

        Raises:
            Unsealable: it cannot be opened.
        """
        if not sealed:
            return {}
        raw = urlsafe_b64decode(sealed)
        for key in self._keys:
            try:
                plain = key.decrypt(raw[:_NONCE], raw[_NONCE:], owner.encode())
            except InvalidTag:
                continue
            secrets: dict[str, str] = msgspec.json.decode(plain, type=dict[str, str])
            return secrets
        raise Unsealable("the credentials of this order cannot be opened: the gateway's signing key has changed")
