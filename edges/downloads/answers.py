"""What a site's HTTP answer to a download promises. Pure.

The site is a stranger: an answer that contradicts itself, or what was asked, is refused before a byte of it is passed
on. Sources: RFC 9110 sections 8 (representation data), 14 (ranges) and 15 (status codes).
"""

import re
import time
from collections.abc import Mapping
from email.message import Message

import msgspec

from edges.downloads.ranges import ByteRange, RangeNotSatisfiable, span_of
from edges.errors import EdgeError, NotFound, SiteMisbehaved, SiteUnavailable
from edges.http_dates import http_date
from edges.model import Frozen
from edges.retry import retry_after

_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*", re.IGNORECASE)
_UNSATISFIED = re.compile(r"\s*bytes\s+\*/(\d{1,18})\s*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}(?:\s*;[\x20-\x7e]{0,120})?")
_ENCODING = re.compile(r"[A-Za-z0-9, .-]{1,40}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})
_LONGEST_PAUSE = 3600.0
_PREPARING_SECONDS = 60.0


class NotReady(EdgeError):
    """The site prepares the data; ``retry_after`` in seconds."""

    status = 503
    title = "The data is being prepared"

    def __init__(self, site: str, retry_after: float) -> None:
        super().__init__(f"{site}: the data is not ready yet")
        self.retry_after = retry_after


class SiteOverloaded(SiteUnavailable):
    """The site asks to be asked later; ``retry_after`` in seconds."""

    def __init__(self, site: str, reason: str, *, retry_after: float) -> None:
        super().__init__(site, reason, code="overloaded")
        self.retry_after = retry_after


class AccessLost(SiteMisbehaved):
    """The site refuses us the data: its credentials are wrong, or the address was signed and is too old."""

    title = "The site refuses its data"


class Opened(Frozen):
    """What comes: ``length`` bytes from byte ``first`` of ``total``, after ``skip`` bytes that are to be read over.

    None is not known; ``framed``: the end can be told from a broken connection. ``partial``: it is the range that was
    asked for. ``unchanged``: nothing comes, the client has it already. ``encoding`` is that of the bytes as they are.
    """

    total: int | None = None
    first: int = 0
    length: int | None = None
    skip: int = 0
    partial: bool = False
    framed: bool = True
    unchanged: bool = False
    etag: str = ""
    last_modified: str = ""
    content_type: str = ""
    encoding: str = ""
    filename: str = ""


def redirect_of(status: int, headers: Mapping[str, str]) -> str | None:
    """Return where an answer sends us, or None if it does not."""
    return headers.get("Location") if status in _REDIRECTS else None


def judge(site: str, status: int, headers: Mapping[str, str], asked: ByteRange | None, *, body: bool = True) -> Opened:
    """Return what an answer promises to a request for a range (None: for all); not ``body`` for one to ``HEAD``.

    Raises:
        NotFound: the site does not have it.
        RangeNotSatisfiable: the range is of no byte.
        NotReady, SiteUnavailable: later, perhaps.
        AccessLost, SiteMisbehaved: it refuses, or contradicts itself.
    """
    if status == 304:
        return _described(headers, Opened(unchanged=True))
    if status == 416 and asked is not None:
        found = _UNSATISFIED.fullmatch(headers.get("Content-Range", ""))
        raise RangeNotSatisfiable(int(found.group(1)) if found else None)
    if status not in (200, 206):
        raise _refused(site, status, headers)
    length = _length(site, headers)
    if status == 206 or _is_unsaid_part(headers, asked, length):
        return _described(headers, _part(site, headers, asked, length))
    framed = length is not None or not body or "chunked" in headers.get("Transfer-Encoding", "").lower()
    whole = Opened(total=length, length=length, framed=framed)
    if asked is None or length is None:  # where a part cannot be told, the whole is an honest answer, too
        return _described(headers, whole)
    span = span_of(asked, length)
    part = Opened(total=length, first=span.first, length=span.length, skip=span.first, partial=True)
    return _described(headers, part)


def _is_unsaid_part(headers: Mapping[str, str], asked: ByteRange | None, length: int | None) -> bool:
    """Tell whether an answer with status 200 is a part all the same, as some S3 servers give it (rclone's)."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if asked is None or found is None or found.group(3) == "*":
        return False
    first, last, total = (int(each) for each in found.groups())
    return length == last - first + 1 < total


def _part(site: str, headers: Mapping[str, str], asked: ByteRange | None, length: int | None) -> Opened:
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if asked is None or found is None:
        raise SiteMisbehaved(site, "a part came that was not asked for, or that does not say which", code="range")
    first, last = int(found.group(1)), int(found.group(2))
    total = None if found.group(3) == "*" else int(found.group(3))
    if length not in (None, last - first + 1) or (total is not None and last >= total) or not _fits(asked, first, last):
        raise SiteMisbehaved(site, "another range came than was asked for", code="range")
    if total is not None and span_of(asked, total) != (first, last - first + 1):
        raise SiteMisbehaved(site, "another range came than was asked for", code="range")
    return Opened(total=total, first=first, length=last - first + 1, partial=True)


def _fits(asked: ByteRange, first: int, last: int) -> bool:
    if asked.suffix is not None:
        return 0 <= last - first < asked.suffix
    return first == asked.first <= last and (asked.last is None or last <= asked.last)


def _described(headers: Mapping[str, str], opened: Opened) -> Opened:
    """Add validators and kind; what is not well-formed is left out, since it would become a field of our answer."""
    return msgspec.structs.replace(
        opened,
        etag=_kept(_ETAG, headers.get("ETag", "")),
        last_modified=_date(headers.get("Last-Modified", "")),
        content_type=_kept(_TYPE, headers.get("Content-Type", "")),
        encoding=_coding(headers.get("Content-Encoding", "")),
        filename=_filename(headers.get("Content-Disposition", "")),
    )


def _kept(pattern: re.Pattern[str], told: str) -> str:
    return told.strip() if pattern.fullmatch(told.strip()) else ""


def _coding(told: str) -> str:
    # "aws-chunked" is how an object was uploaded, kept by some services; what they send has no chunks
    codings = [each.strip() for each in told.split(",") if each.strip().lower() not in ("", "identity", "aws-chunked")]
    return _kept(_ENCODING, ", ".join(codings))


def _date(told: str) -> str:
    return told if http_date(told) is not None and told.isascii() and told.isprintable() else ""


def _filename(told: str) -> str:
    if not told.isprintable() or len(told) > 1_000:
        return ""
    message = Message()
    message["Content-Disposition"] = told
    return message.get_filename("") or ""


def _length(site: str, headers: Mapping[str, str]) -> int | None:
    told = headers.get("Content-Length")
    if told is None:
        return None
    if not (told.isascii() and told.isdigit() and len(told) <= 18):
        raise SiteMisbehaved(site, "its answer has a length that is none", code="length")
    return int(told)


def _refused(site: str, status: int, headers: Mapping[str, str]) -> EdgeError:
    after = retry_after(headers.get("Retry-After"), now=time.time(), longest=_LONGEST_PAUSE)
    if status == 202:
        return NotReady(site, after or _PREPARING_SECONDS)
    if status in _GONE:
        return NotFound(f"{site}: the data is not there any more")
    if status in (401, 403):
        return AccessLost(site, f"it refuses us its data (HTTP {status})", code="refused")
    if status in _LATER:
        if after is not None:
            return SiteOverloaded(site, f"it asks to come later (HTTP {status})", retry_after=after)
        return SiteUnavailable(site, f"its data answered HTTP {status}", code="overloaded")
    return SiteMisbehaved(site, f"its data answered HTTP {status}", code="status")
