"""Where clients put their credentials. Pure.

Every kind of client that we serve unmodified sends tokens its own way: ``Bearer`` (RFC 6750), ``token``
(Jupyter), ``jupyterhub`` (Dask with JupyterHub), ``Basic`` with the token as password (RFC 7617; Dask, EODAG,
browsers), ``X-API-Key`` (EODAG), ``?token=`` where a websocket cannot have headers.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Literal

from edges.model import Frozen
from gateway.auth.identity import InvalidCredentials

MAX_SECRET = 8_192
"""The longest credentials that are looked at, in characters."""

_TOKEN_SCHEMES = frozenset({"bearer", "token", "jupyterhub"})
_WEBSOCKET = re.compile(r"/api/kernels/[^/]+/channels")
"""Jupyter's client opens a kernel's websocket with nothing but an address; addresses are logged and remembered."""


class Credential(Frozen):
    """A secret, and how it came. A browser sends those in a cookie also for foreign pages."""

    secret: str
    source: Literal["header", "query", "cookie"]


def credential_of(
    headers: Mapping[str, str], query: Mapping[str, str], cookie: str | None, path: str
) -> Credential | None:
    """Return the credentials of a request: those of its header, else of its address, else of its cookie.

    Raises:
        InvalidCredentials: the header is not one that we understand.
    """
    header = headers.get("Authorization")
    if header is not None:
        return Credential(secret=_secret_of(header), source="header")
    key = headers.get("X-API-Key")
    if key:
        return Credential(secret=_bounded(key.strip()), source="header")
    token = query.get("token")
    if token and _WEBSOCKET.fullmatch(path):
        return Credential(secret=_bounded(token), source="query")
    return Credential(secret=_bounded(cookie), source="cookie") if cookie else None


def _secret_of(header: str) -> str:
    scheme, _, rest = header.strip().partition(" ")
    value = _bounded(rest.strip())
    if not value:
        raise InvalidCredentials("the Authorization header has no credentials; expected `Bearer <token>`")
    if scheme.lower() in _TOKEN_SCHEMES:
        return value
    if scheme.lower() == "basic":
        return _password(value)
    raise InvalidCredentials("the Authorization header must be `Bearer <token>`, `token <token>` or Basic")


def _password(value: str) -> str:
    try:
        _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise InvalidCredentials("the Basic credentials are not base64 of `user:token`") from error
    if not password:
        raise InvalidCredentials("the Basic credentials have no password; it is where the token belongs")
    return password


def _bounded(secret: str) -> str:
    if len(secret) > MAX_SECRET:
        raise InvalidCredentials(f"the credentials are longer than {MAX_SECRET} characters")
    return secret
