"""Codings of bodies, undone within a bound: an answer that swells is given up as soon as it is too large.

Source: RFC 9110 section 8.4.1; ``deflate`` is read with or without its frame, as servers write both. Pure.
"""

import zlib

from isal import isal_zlib

from edges.lines.heads import LineError
from edges.model import Bytes

ACCEPTED = "gzip, deflate"
"""What may be asked for (``Accept-Encoding``)."""

_AT_ONCE = 64 * 1024
_GZIP, _FRAMED, _BARE = 31, 15, -15
_NONE: tuple[type[Exception], ...] = (isal_zlib.IsalError, zlib.error)  # type: ignore[assignment]  # stubs: an instance
_MAX_MEMBERS = 4_096
"""Members of one gzip file: servers write one; each costs something however little is in it."""


def decoded(body: Bytes, coding: str, most: int) -> Bytes | None:
    r"""Return a body as it was before it was coded; None where it is larger than ``most`` bytes.

    >>> decoded(b"hello", "identity", 5)
    b'hello'

    Raises:
        LineError: it is not coded so, or in a way that nobody asked for.
    """
    name = coding.strip().lower()
    if name in ("", "identity") or not body:
        return body if len(body) <= most else None
    try:
        if name in ("gzip", "x-gzip"):
            return _members(memoryview(body), most)
        if name == "deflate":
            framed = body[0] & 0x0F == zlib.DEFLATED
            return _Stream(_FRAMED if framed else _BARE).whole(memoryview(body), most)
    except _NONE as error:
        raise LineError(f"the answer is no {name}") from error
    raise LineError("the answer is coded in a way that nobody asked for")


class _Stream:
    """One compressed stream; ``taken`` is how many bytes of what it was given belong to it."""

    def __init__(self, window: int) -> None:
        self._inner = isal_zlib.decompressobj(window)
        self.taken = 0

    def whole(self, body: memoryview, most: int) -> bytes | None:
        """Return what the stream at the beginning of ``body`` holds, None where that is more than ``most`` bytes.

        Raises:
            LineError: it does not end.
        """
        pieces: list[bytes] = []
        left = most
        while not self._inner.eof:
            given = body[self.taken : self.taken + _AT_ONCE]
            if not given:
                raise LineError("the answer broke off within its coding")
            piece = self._inner.decompress(given, left + 1)
            left -= len(piece)
            if left < 0:
                return None
            self.taken += len(given) - len(self._inner.unused_data)
            pieces.append(piece)
        return b"".join(pieces)


def _members(body: memoryview, most: int) -> bytes | None:
    """Return what the members of a gzip file hold (RFC 1952 section 2.2); what else is behind them is dropped."""
    found: list[bytes] = []
    left = most
    for _ in range(_MAX_MEMBERS):
        stream = _Stream(_GZIP)
        member = stream.whole(body, left)
        if member is None:
            return None
        found.append(member)
        left -= len(member)
        body = body[stream.taken :]
        if bytes(body[:2]) != b"\x1f\x8b":
            return found[0] if len(found) == 1 else b"".join(found)
    return None
