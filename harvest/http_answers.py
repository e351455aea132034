"""What a source's HTTP answer means for a copy. Pure, but for the clock against which a date is read.

Sources: RFC 9110 sections 8.8 (validators), 10.2.3 (Retry-After), 14 (ranges), 15 (status codes).
"""

import re
import time
from collections.abc import Mapping
from typing import NamedTuple

from edges.retry import retry_after
from harvest.errors import NotYet, SourceChanged, SourceFailed

LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\Z")
_PREPARING_SECONDS = 60.0
MAX_WAIT = 24 * 3600.0
"""The longest pause that a source can ask for, in seconds."""


class Opened(NamedTuple):
    """What an answer tells before its body: whole size, validator, and how many bytes to read over.

    ``framed``: the end of the body can be told from a broken connection.
    """

    total: int | None
    validator: str | None
    skip: int
    framed: bool = True


def redirect_of(status: int, headers: Mapping[str, str]) -> str | None:
    """Return where an answer sends us, or None if it does not."""
    return headers.get("Location") if status in _REDIRECTS else None


def judge(
    status: int, headers: Mapping[str, str], start: int, validator: str | None, *, ranged: bool = False
) -> Opened:
    """Return what an answer to a request from byte ``start`` promises; ``ranged``: it was by range.

    Raises:
        NotYet: the source prepares the data (202), or asks to wait (Retry-After).
        SourceChanged: the answer is of other bytes than those read before.
        SourceFailed: the answer is a refusal, or not the file.
    """
    if status not in (200, 206):
        raise _refused(status, headers)
    encoding = headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise SourceFailed(f"the file comes encoded ({encoding[:20]}), though that was not asked for", again=False)
    if headers.get("Content-Type", "").lower().startswith("text/html"):
        raise SourceFailed("a web page came instead of the file", again=False)
    found = _validator(headers)
    if not start and not ranged:
        if status == 206:
            raise SourceFailed("a part came, though the whole was asked for", again=False)
        length = _length(headers)
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        return Opened(total=length, validator=found, skip=0, framed=length is not None or chunked)
    return _resumed(status, headers, start, (validator, found))


def judge_tail(status: int, headers: Mapping[str, str], most: int) -> Opened:
    """Return what an answer to a request for the last ``most`` bytes promises; ``total`` is the length of the whole.

    Raises:
        NotYet, SourceFailed: as :func:`judge`; also where the source knows no ranges.
    """
    if status not in (200, 206):
        raise _refused(status, headers)
    whole = judge(200, headers, 0, None)
    if status == 200 and (whole.total is None or whole.total > most):
        raise SourceFailed("the source knows no ranges: a member of an archive cannot be read out of it", again=False)
    if status == 200:
        return whole
    told = _RANGE.match(headers.get("Content-Range", ""))
    if told is None or told.group(3) == "*" or int(told.group(2)) + 1 != int(told.group(3)):
        raise SourceFailed("another range came than was asked for", again=False)
    if int(told.group(2)) - int(told.group(1)) >= most:
        raise SourceFailed("another range came than was asked for", again=False)
    return Opened(total=int(told.group(3)), validator=whole.validator, skip=0)


def _resumed(status: int, headers: Mapping[str, str], start: int, validators: tuple[str | None, str | None]) -> Opened:
    before, found = validators
    if found is not None and found != before:
        raise SourceChanged
    if status == 200:
        if found is None or found != before:
            raise SourceChanged
        return Opened(total=_length(headers), validator=before, skip=start)
    told = _RANGE.match(headers.get("Content-Range", ""))
    if told is None or int(told.group(1)) != start:
        raise SourceFailed("another range came than was asked for", again=False)
    total = None if told.group(3) == "*" else int(told.group(3))
    return Opened(total=total, validator=before, skip=0)


def _refused(status: int, headers: Mapping[str, str]) -> SourceFailed:
    after = retry_after(headers.get("Retry-After"), now=time.time(), longest=MAX_WAIT)
    if status == 202:
        return NotYet(after or _PREPARING_SECONDS)
    if status == 416:
        return SourceChanged()
    return SourceFailed(f"HTTP {status}", again=status in LATER, after=after)


def _length(headers: Mapping[str, str]) -> int | None:
    told = headers.get("Content-Length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) <= 18 else None


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return a validator that ``If-Range`` may carry: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    return headers.get("Last-Modified") or None
