"""Addresses that no client should open: scripts and files in the links and assets that a site tells. Pure.

Items pass as the sites' bytes. So their bytes are looked through first, at about 0.3 ms for a megabyte; only where
something looks suspicious are they decoded, and what is unsafe left out. Suspicion errs on the safe side: an address
written with escapes (RFC 8259 section 7), capitals, or the white space that browsers skip is found, too.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt

_UNSAFE = re.compile(
    r"[\x00-\x20]*(?:javascript|vbscript|livescript|data|file|jar|view-source|about|blob):", re.IGNORECASE
)
_IGNORED = re.compile(r"[\x00-\x20\x7f]+")
"""Browsers leave out tabs and line breaks anywhere in an address, and white space before it (WHATWG URL, 4.4)."""
_HREFS = ("href", "url")
_COLON, _BACKSLASH, _SLASH = 0x3A, 0x5C, 0x2F
_END_BITS, _ENDS = 0x4A, 0x40
"""Bits that ``t``, ``e`` and ``a`` share; quotes, digits, and the last letters of usual prefixes have others."""
_PIECE = 1 << 17
_BEFORE = 5
"""Bytes before a colon that are looked at."""
_HARMLESS_ESCAPES = frozenset({b"0022", b"0026", b"0027", b"002f", b"003c", b"003d", b"003e"})
"""What encoders escape for HTML's sake; none of them is part of a scheme."""

Bytes = npt.NDArray[np.uint8]


def is_unsafe(href: str) -> bool:
    """Tell whether an address runs a script, or reads a file of whoever opens it."""
    return _UNSAFE.match(_IGNORED.sub("", href[:4096])) is not None


def looks_unsafe(body: bytes | bytearray) -> bool:
    """Tell whether JSON text may hold an unsafe address; False is certain."""
    text = np.frombuffer(body, dtype=np.uint8)
    return len(text) > _BEFORE + 1 and (_has_scheme(text) or _has_escape(body, text))


def _has_scheme(text: Bytes) -> bool:
    """Tell of ``…pt:`` (scripts), ``data:``, and ``…e:/`` (files) in any case."""
    colons = _telling_colons(text)
    if not len(colons):
        return False
    last, before, after = text[colons - 1] | 0x20, text[colons - 2] | 0x20, text[colons + 1]
    if np.count_nonzero((last == ord("t")) & (before == ord("p"))):
        return True
    if np.count_nonzero((last == ord("e")) & ((after == _SLASH) | (after == _BACKSLASH))):
        return True
    return _has_data(text, colons[(last == ord("a")) & (before == ord("t"))])


def _has_data(text: Bytes, colons: npt.NDArray[np.intp]) -> bool:
    """Tell of ``data:`` that no letter stands before, by colons after ``ta``."""
    for place, letter in ((3, "a"), (4, "d")):
        colons = colons[text[colons - place] | 0x20 == ord(letter)]
    return bool(len(colons)) and bool(np.any(~_is_letter(text[colons - 5])))


def _telling_colons(text: Bytes) -> npt.NDArray[np.intp]:
    """Return where colons stand after a ``t``, ``e``, ``a``, or one of few like them (see ``_ENDS``), in any case.

    In pieces, so that what is in between stays in the caches.
    """
    found = []
    size = min(_PIECE, len(text))
    colon, last, ends = np.empty(size, np.bool_), np.empty(size, np.uint8), np.empty(size, np.bool_)
    for start in range(_BEFORE, len(text) - 1, _PIECE):
        end = min(start + _PIECE, len(text) - 1)
        here, before, fits = colon[: end - start], last[: end - start], ends[: end - start]
        np.equal(text[start:end], _COLON, out=here)
        np.bitwise_and(text[start - 1 : end - 1], _END_BITS, out=before)
        np.equal(before, _ENDS, out=fits)
        np.logical_and(here, fits, out=here)
        found.append(np.flatnonzero(here) + start)
    return found[0] if len(found) == 1 else np.concatenate(found)


def _is_letter(text: Bytes) -> npt.NDArray[np.bool_]:
    lower = text | 0x20
    return (lower >= ord("a")) & (lower <= ord("z"))


def _has_escape(body: bytes | bytearray, text: Bytes) -> bool:
    """Tell of an escape that stands for a letter, a colon, or for what browsers skip."""
    if b"\\" not in body:
        return False
    for place in np.flatnonzero(text == _BACKSLASH).tolist():
        kind = body[place + 1 : place + 2]
        if kind in (b"t", b"n", b"r", b"f", b"b"):
            return True
        if kind == b"u" and _is_hidden(bytes(body[place + 2 : place + 6]).lower()):
            return True
    return False


def _is_hidden(code: bytes) -> bool:
    return code.startswith(b"00") and code < b"0080" and code not in _HARMLESS_ESCAPES


def without_unsafe(value: Any) -> tuple[Any, int]:
    """Return decoded JSON without the objects whose ``href`` (or ``url``) is unsafe, and how many were left out.

    An asset, a link or an alternate is left out as a whole: what remains of it would be of no use.
    """
    if isinstance(value, dict):
        pairs = [(name, *without_unsafe(member)) for name, member in value.items() if not _is_bad(member)]
        left_out = len(value) - len(pairs) + sum(count for _, _, count in pairs)
        return {name: member for name, member, _ in pairs}, left_out
    if isinstance(value, list):
        kept = [without_unsafe(member) for member in value if not _is_bad(member)]
        return [member for member, _ in kept], len(value) - len(kept) + sum(count for _, count in kept)
    return value, 0


def _is_bad(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return any(isinstance(value.get(name), str) and is_unsafe(value[name]) for name in _HREFS)
