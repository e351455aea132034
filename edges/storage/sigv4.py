"""AWS Signature Version 4 for S3, in the headers of a request, with the payload left unsigned. Pure.

Sources: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header" and "Signature
Calculations for the Authorization Header: Transferring Payload in a Single Chunk" (UNSIGNED-PAYLOAD).
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


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
        self._day, self._key = "", b""
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
        told = {"host": self._host} | {
            name.lower(): " ".join(value.split()) for name, value in sent.items() if name.lower().startswith("x-amz-")
        }
        order = sorted(told)
        names = ";".join(order)
        lines = "".join([f"{name}:{told[name]}\n" for name in order])
        canonical = f"{method}\n{self._root}/{encoded}\n{asked}\n{lines}\n{names}\n{UNSIGNED}"
        scope = self._scope(stamp)
        credential, signature = f"Credential={self._access}/{scope}", self._signature(stamp, scope, canonical)
        sent["Authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
        return f"{self._base}/{encoded}" + (f"?{asked}" if asked else ""), sent

    def presigned(self, method: str, path: str, expires: int, now: datetime) -> str:
        """Return a URL that is signed by itself, for ``expires`` seconds, encoded.

        Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
        """
        stamp = self._stamp_of(now.replace(microsecond=0))
        scope = self._scope(stamp)
        query = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self._access}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": "host",
        }
        encoded = quote(path, safe="/-_.~")
        asked = "&".join(f"{name}={_encoded(query[name])}" for name in sorted(query))
        canonical = f"{method}\n{self._root}/{encoded}\n{asked}\nhost:{self._host}\n\nhost\n{UNSIGNED}"
        return f"{self._base}/{encoded}?{asked}&X-Amz-Signature={self._signature(stamp, scope, canonical)}"

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self._region}/s3/aws4_request"

    def _signature(self, stamp: str, scope: str, canonical: str) -> str:
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        return hmac.digest(self._key_of(stamp[:8]), text.encode(), "sha256").hex()

    def _stamp_of(self, second: datetime) -> str:
        """Return a second as it is signed; many requests fall in each."""
        if second != self._second:
            self._second, self._stamp = second, second.strftime("%Y%m%dT%H%M%SZ")
        return self._stamp

    def _key_of(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._secret}".encode()
            for step in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, step.encode(), "sha256")
            self._day, self._key = day, key
        return self._key


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
