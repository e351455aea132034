"""What of a site's error a stranger may read: a short line of print, without addresses. Pure."""

import re
from typing import Any

import msgspec

from edges.model import Bytes

MAX_EXCERPT = 160
"""Longest excerpt, in characters."""
_READ = 4_096
"""Most bytes of an answer that are looked at."""
_TELLING = ("detail", "description", "message", "title", "error", "code")
"""Members in which servers say what is wrong (RFC 9457, OGC API exceptions, FastAPI), the most telling first."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]{0,1000}>")


def excerpt(body: Bytes) -> str:
    """Return what the body of an error says: printable, on one line; an address in it may hold a signature.

    >>> excerpt(b'{"code": "InvalidQuery", "description": "no such   field"}')
    'no such field'
    """
    text = _told(body) or body[:_READ].decode("utf-8", "replace")
    plain = _ADDRESS.sub("(address)", _MARKUP.sub(" ", text))
    line = " ".join("".join(c if c.isprintable() else " " for c in plain).split())
    return line if len(line) <= MAX_EXCERPT else f"{line[: MAX_EXCERPT - 3]}..."


def _told(body: Bytes) -> str:
    """Return the text of the most telling member of a JSON object; empty where there is none."""
    try:
        document: Any = msgspec.json.decode(body) if len(body) <= _READ else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    return next((text for name in _TELLING if isinstance(text := document.get(name), str) and text), "")
