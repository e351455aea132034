"""Signed URLs of S3: AWS Signature Version 4 in the query. Pure.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

from edges.model import Frozen

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_SECONDS = 7 * 24 * 3600
"""The longest that any service lets a signed URL live."""


class SigningKey(Frozen):
    """A pair of keys, with the token that goes with a short-lived one."""

    access_key: str
    secret_key: str
    region: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "SigningKey(...)"


def presigned(
    method: str, url: str, key: SigningKey, *, seconds: int, now: datetime, more: Mapping[str, str] | None = None
) -> str:
    """Return a URL that one method may use for ``seconds`` from ``now`` (UTC), without credentials.

    ``url`` is the object's, with its path encoded and no query; ``more`` are parameters that are signed as well.
    """
    parts = urlsplit(url)
    default = parts.port is None or _DEFAULT_PORTS.get(parts.scheme) == parts.port
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    host = name if default else f"{name}:{parts.port}"
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{key.region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(min(seconds, MOST_SECONDS)),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": key.session_token} if key.session_token else {}),
        **(more or {}),
    }
    asked = "&".join(f"{_encoded(name)}={_encoded(query[name])}" for name in sorted(query))
    canonical = f"{method}\n{parts.path}\n{asked}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(_derived(key, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    return f"{url}?{asked}&X-Amz-Signature={signature}"


def _derived(key: SigningKey, day: str) -> bytes:
    derived = f"AWS4{key.secret_key}".encode()
    for step in (day, key.region, "s3", "aws4_request"):
        derived = hmac.new(derived, step.encode(), hashlib.sha256).digest()
    return derived


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
