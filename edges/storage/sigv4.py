"""AWS Signature Version 4 for S3, in the headers of a request, with the payload left unsigned. Pure.

Sources: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header" and "Signature
Calculations for the Authorization Header: Transferring Payload in a Single Chunk" (UNSIGNED-PAYLOAD).
"""

import functools
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class _Day(NamedTuple):
    """What all signatures of a day have in common: their scope, and a MAC with the day's key that has read nothing."""

    name: str
    scope: str
    mac: hmac.HMAC


class Signer:
    """Signs requests to one endpoint with one key pair.

    The key of a day is derived once. Path style: the bucket stands in the path.
    """

    def __init__(self, *, endpoint: str, region: str, access_key: str, secret_key: str) -> None:
        parts = urlsplit(endpoint)
        self._base = endpoint.rstrip("/")
        self._root = quote(parts.path.rstrip("/"), safe="/-_.~%")
        default = parts.port is None or _DEFAULT_PORTS.get(parts.scheme) == parts.port
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        self._host = name if default else f"{name}:{parts.port}"
        self._region = region
        self._access = access_key
        self._secret = secret_key
        self._day: _Day | None = None
        self._second: datetime | None = None
        self._stamp = ""

    def __repr__(self) -> str:
        """Tell where, never with what."""
        return f"Signer({self._base!r})"

    def signed(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], now: datetime
    ) -> tuple[str, dict[str, str]]:
        """Return the URL to call, encoded, and the headers to send.

        ``path`` is bucket and key, not encoded; only headers that begin with ``x-amz-`` are signed beside the host.

        >>> from datetime import UTC
        >>> signer = Signer(endpoint="https://s3.example", region="eu", access_key="a", secret_key="s")
        >>> signer.signed("GET", "b/k y", {"partNumber": "1"}, {}, datetime(2026, 1, 1, tzinfo=UTC))[0]
        'https://s3.example/b/k%20y?partNumber=1'
        """
        stamp = self._stamp_of(now.replace(microsecond=0))
        encoded = quote(path, safe="/-_.~")
        asked = "&".join(f"{_encoded(name)}={_encoded(query[name])}" for name in sorted(query))
        sent = {**headers, "x-amz-content-sha256": UNSIGNED, "x-amz-date": stamp}
        order, names = _order(*sent)
        lines = "".join([f"{lower}:{' '.join(sent[name].split())}\n" for lower, name in order])
        canonical = f"{method}\n{self._root}/{encoded}\n{asked}\nhost:{self._host}\n{lines}\n{names}\n{UNSIGNED}"
        day = self._day_of(stamp)
        credential, signature = f"Credential={self._access}/{day.scope}", _signature(day, stamp, canonical)
        sent["Authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
        return f"{self._base}/{encoded}" + (f"?{asked}" if asked else ""), sent

    def presigned(self, method: str, path: str, expires: int, now: datetime) -> str:
        """Return a URL that is signed by itself, for ``expires`` seconds, encoded.

        Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
        """
        stamp = self._stamp_of(now.replace(microsecond=0))
        day = self._day_of(stamp)
        query = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self._access}/{day.scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": "host",
        }
        encoded = quote(path, safe="/-_.~")
        asked = "&".join(f"{name}={_encoded(query[name])}" for name in sorted(query))
        canonical = f"{method}\n{self._root}/{encoded}\n{asked}\nhost:{self._host}\n\nhost\n{UNSIGNED}"
        return f"{self._base}/{encoded}?{asked}&X-Amz-Signature={_signature(day, stamp, canonical)}"

    def _stamp_of(self, second: datetime) -> str:
        """Return a second as it is signed; many requests fall in each."""
        if second != self._second:
            self._second, self._stamp = second, second.strftime("%Y%m%dT%H%M%SZ")
        return self._stamp

    def _day_of(self, stamp: str) -> _Day:
        name = stamp[:8]
        if self._day is None or name != self._day.name:
            key = f"AWS4{self._secret}".encode()
            for step in (name, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._day = _Day(name, f"{name}/{self._region}/s3/aws4_request", hmac.new(key, digestmod="sha256"))
        return self._day


def _signature(day: _Day, stamp: str, canonical: str) -> str:
    mac = day.mac.copy()
    mac.update(f"{_ALGORITHM}\n{stamp}\n{day.scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}".encode())
    return mac.hexdigest()


@functools.lru_cache(maxsize=64)
def _order(*names: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return which headers are signed beside the host, in their order and small letters, and how they are told.

    >>> _order("Content-Type", "x-amz-date", "X-Amz-Acl")
    ((('x-amz-acl', 'X-Amz-Acl'), ('x-amz-date', 'x-amz-date')), 'host;x-amz-acl;x-amz-date')
    """
    order = sorted((name.lower(), name) for name in names if name.lower().startswith("x-amz-"))
    return tuple(order), ";".join(["host", *[lower for lower, _ in order]])


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
