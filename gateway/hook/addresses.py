"""Which addresses an order may name: those at or below one that the configuration names. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from edges.errors import InvalidInput

_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*\Z")
"""Paths of which everybody reads the same: nothing encoded, nothing to be normalised."""


def below(url: str, roots: Iterable[str]) -> str | None:
    """Return the root at or below which a URL lies, or None: another scheme, host or port, or beside it.

    >>> below("https://x.org/stac/search", ["https://x.org/stac"]), below("https://x.org/stacx", ["https://x.org/stac"])
    ('https://x.org/stac', None)
    >>> below("https://x.org@evil.org/stac", ["https://x.org"]), below("https://x.org/a/../b", ["https://x.org"])
    (None, None)
    """
    asked = _parts(url)
    if asked is None or not _PLAIN.match(asked.path) or _climbs(asked.path):
        return None
    for root in roots:
        allowed = _parts(root)
        if allowed is not None and _origin(asked) == _origin(allowed):
            path = allowed.path.rstrip("/")
            if asked.path == path or asked.path.startswith(f"{path}/"):
                return root
    return None


def named(url: str, roots: Iterable[str], field: str) -> str:
    """Return a URL if an order may name it, without a slash or query at its end.

    Raises:
        InvalidInput: it may not.
    """
    known = list(roots)
    parts = _parts(url)
    if parts is None or parts.query or below(url, known) is None:
        allowed = ", ".join(known) or "none: the operator has named none"
        raise InvalidInput(field, "an address that orders may not name", f"one at or below {allowed}")
    return url.rstrip("/")


def same_origin(url: str, others: Iterable[str]) -> bool:
    """Tell whether a URL has scheme, host and port of one of some others.

    >>> same_origin("https://x.org:443/a?b", ["https://x.org"]), same_origin("http://x.org/", ["https://x.org"])
    (True, False)
    """
    asked = _parts(url)
    told = [parts for parts in map(_parts, others) if parts is not None]
    return asked is not None and _origin(asked) in map(_origin, told)


def _climbs(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))


def _parts(url: str) -> SplitResult | None:
    if any(ord(letter) <= 32 or letter == "\\" for letter in url):
        return None
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if known and parts.username is None and parts.password is None and not parts.fragment else None


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme]
