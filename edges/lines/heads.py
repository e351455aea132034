"""Heads of HTTP/1.1 messages, written and read. Pure.

Source: RFC 9112 sections 3 to 6 (framing: 6.3). What is ambiguous is refused: there is no second guess to make.
"""

import functools
import re
from collections.abc import Iterable

import msgspec
from multidict import CIMultiDict

from edges.kept import LONGEST

MAX_HEAD = 64 * 1024
"""Bytes of a head, at most."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f]*)?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_BODILESS = frozenset({204, 304})


class LineError(ConnectionError):
    """The other side broke off, or does not keep to HTTP/1.1. The text holds nothing that it said."""


class LineClosed(LineError):
    """The line was closed before a byte of the answer came: nothing shows that the request was even read."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """An answer's head: ``length`` of the body in bytes (None: chunked, or to the end), ``keep``: the line can stay."""

    status: int
    headers: CIMultiDict[str]
    length: int | None
    chunked: bool
    keep: bool


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    r"""Return a request's head, with its empty line.

    >>> request_head("GET", "/a?b", [("Host", "x")])
    b'GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n'

    Raises:
        LineError: a header would break out of its line.
    """
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise LineError("a header to be sent holds a line break")
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def response_head(raw: bytes, *, bodiless: bool = False) -> Head:
    r"""Read an answer's head, without its empty line; ``bodiless``: it answers a HEAD request.

    >>> response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5").length
    5

    Raises:
        LineError: it is none, or does not tell for certain where its body ends.
    """
    first, _, rest = raw.partition(b"\r\n")
    version, code = _status(first)
    headers = CIMultiDict(_headers(rest.decode("utf-8", "surrogateescape"))) if rest else CIMultiDict[str]()
    keep = version == b"1" and "close" not in headers.get("Connection", "").lower()
    length, chunked = _framing(headers)
    if bodiless or code < 200 or code in _BODILESS:
        return Head(code, headers, 0, chunked=False, keep=keep)
    return Head(code, headers, length, chunked=chunked, keep=keep and (chunked or length is not None))


@functools.lru_cache(maxsize=64)
def _status(line: bytes) -> tuple[bytes, int]:
    told = _STATUS.fullmatch(line)
    if told is None:
        raise LineError("the answer is not HTTP/1.1")
    return told[1], int(told[2])


def _headers(text: str) -> list[tuple[str, str]]:
    read = _header if len(text) <= LONGEST else _read_header
    return [read(line) for line in text.split("\r\n")]


def _read_header(line: str) -> tuple[str, str]:
    told = _HEADER.fullmatch(line)
    if told is None:
        raise LineError("the answer has a header that cannot be read")
    return told[1], told[2].strip(" \t")


_header = functools.lru_cache(maxsize=256)(_read_header)
"""Reads a header as it was read before: most of what a server says it says each time."""


def _framing(headers: CIMultiDict[str]) -> tuple[int | None, bool]:
    codings = headers.getall("Transfer-Encoding", None)
    lengths = headers.getall("Content-Length", None)
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"] or lengths:
            raise LineError("the answer's length cannot be told for certain")
        return None, True
    if not lengths:
        return None, False
    told = lengths[0]
    if any(each != told for each in lengths[1:]) or not (told.isascii() and told.isdigit() and len(told) <= 18):
        raise LineError("the answer's length cannot be told for certain")
    return int(told), False
