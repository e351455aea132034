"""Short-lived signed claims: how an edge learns for whom a request is made, and within which limit.

A JSON Web Token (RFC 7519) signed with HMAC-SHA256 by a secret that one edge and the gateway share. The audience is
the edge's id, so that no edge can replay a claim at another one.
"""

import time
from typing import Any

import jwt

from edges.model import ClusterCap, EdgeUser, Frozen

SCHEME = "Lakegate"
"""The ``Authorization`` scheme that carries a claim."""
ISSUER = "lakegate"
LIFETIME_SECONDS = 60
LEEWAY_SECONDS = 10
MOST_GPUS = 10_000
MIN_SECRET_BYTES = 32
"""The key length of HMAC-SHA256 (RFC 7518 section 3.2)."""


class ClaimRefused(Exception):
    """The claim is forged, expired, for another edge, or incomplete."""


class Claim(Frozen):
    """A verified claim: the user, and the cap where the request may create a cluster."""

    user: EdgeUser
    cap: ClusterCap | None = None


class ClaimSigner:
    """Signs claims for one edge. ``secret`` has at least 32 bytes."""

    def __init__(self, *, secret: str, audience: str) -> None:
        self._key = check_secret(secret)
        self._audience = audience

    def sign(self, user: EdgeUser, cap: ClusterCap | None = None) -> str:
        """Return a compact JWT that is good for :data:`LIFETIME_SECONDS`."""
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "aud": self._audience,
            "sub": user.name,
            "groups": list(user.groups),
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        if cap is not None:
            payload["cap"] = {"cores": cap.cores, "memory": cap.memory} | ({"gpus": cap.gpus} if cap.gpus else {})
        return jwt.encode(payload, self._key, algorithm="HS256")

    def header(self, user: EdgeUser, cap: ClusterCap | None = None) -> dict[str, str]:
        """Return the ``Authorization`` header for a request."""
        return {"Authorization": f"{SCHEME} {self.sign(user, cap)}"}


def check_secret(secret: str) -> bytes:
    """Return the secret as a key.

    Raises:
        ValueError: it is shorter than 32 bytes.
    """
    key = secret.encode()
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"the secret for claims has {len(key)} bytes; expected at least {MIN_SECRET_BYTES}")
    return key


def read_claim(token: str, *, key: bytes, audience: str) -> Claim:
    """Verify a claim and return it.

    Raises:
        ClaimRefused: signature, algorithm, issuer, audience, times or content are not as :class:`ClaimSigner` makes
            them.
    """
    try:
        payload = jwt.decode(
            token,
            key,
            algorithms=["HS256"],
            audience=audience,
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "aud", "iss", "sub"], "strict_aud": True},
        )
    except jwt.InvalidTokenError as error:
        raise ClaimRefused(str(error)) from error
    if payload["exp"] - payload["iat"] > LIFETIME_SECONDS:
        raise ClaimRefused(f"claims live at most {LIFETIME_SECONDS} s")
    return _content(payload)


def _content(payload: dict[str, Any]) -> Claim:
    name, groups, cap = payload["sub"], payload.get("groups", []), payload.get("cap")
    if not isinstance(name, str) or not name or len(name) > 256:
        raise ClaimRefused("sub must be a name of 1 to 256 characters")
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ClaimRefused("groups must be a list of names")
    return Claim(user=EdgeUser(name=name, groups=tuple(groups)), cap=None if cap is None else _cap(cap))


def _cap(cap: Any) -> ClusterCap:
    cores = cap.get("cores") if isinstance(cap, dict) else None
    memory = cap.get("memory") if isinstance(cap, dict) else None
    gpus = cap.get("gpus", 0) if isinstance(cap, dict) else None
    if not isinstance(cores, int | float) or not isinstance(memory, int) or cores <= 0 or memory <= 0:
        raise ClaimRefused("cap must hold cores > 0 and memory > 0 in bytes")
    if isinstance(gpus, bool) or not isinstance(gpus, int | float) or not 0 <= gpus <= MOST_GPUS:
        raise ClaimRefused(f"cap must hold gpus from 0 to {MOST_GPUS}, where it holds any")
    return ClusterCap(cores=float(cores), memory=memory, gpus=float(gpus))
