"""One request to a site and its whole answer: by lines from socket to socket, or by the session where those cannot.

Both keep to the same guards (:mod:`edges.http`) and bounds; lines cost a fraction of the processor's time. Whoever asks
bounds the time.
"""

import math
import socket
from collections.abc import Mapping
from typing import Protocol

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.http import read_bounded
from edges.lines.codings import ACCEPTED, decoded
from edges.lines.heads import LineClosed
from edges.lines.lines import Lines, can_be_asked
from edges.model import Bytes
from edges.retry import Trouble

_TIMED_BY_US = aiohttp.ClientTimeout(total=None)
"""The whole of a fetch is timed, retries and waits included; a second timer for each request would end with it."""


class Request(msgspec.Struct, frozen=True):
    """What is asked: ``url`` is encoded, ``most`` the bytes that the answer may have, decoded."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    most: int


class Whole(msgspec.Struct, frozen=True):
    """What came back; headers are found by their names in any case."""

    status: int
    headers: CIMultiDictProxy[str] | CIMultiDict[str]
    body: Bytes


class NoAnswer(Exception):
    """There is no whole answer: the ``trouble``, and the ``reason`` without an address, which need not be public."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble: Trouble = trouble
        self.reason = reason


class Exchange(Protocol):
    """Makes requests to one site, each once."""

    async def whole(self, request: Request) -> Whole:
        """Return the answer, whatever its status.

        Raises:
            NoAnswer: nobody answers, or not to the end.
            SiteMisbehaved: the answer is too large.
            DestinationRefused: the address is not one that we may call.
            TimeoutError: the other side is silent, where that is noticed before the caller's own time is up.
        """
        ...


class BySession:
    """An :class:`Exchange` by a session of aiohttp."""

    def __init__(self, *, site: str, session: aiohttp.ClientSession) -> None:
        self._site = site
        self._session = session

    async def whole(self, request: Request) -> Whole:
        """Ask, and read all of the answer."""
        headed = False
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                timeout=_TIMED_BY_US,
                allow_redirects=False,
            ) as response:
                headed = True
                body = await read_bounded(response, site=self._site, limit=request.most)
                return Whole(response.status, response.headers, body)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, SiteUnavailable) as error:
            raise NoAnswer(_trouble(error, headed=headed), _reason(error)) from error


class ByLines:
    """An :class:`Exchange` by lines; ``otherwise`` makes the requests whose address lines do not understand."""

    def __init__(self, *, site: str, lines: Lines, otherwise: Exchange) -> None:
        self._site = site
        self._lines = lines
        self._otherwise = otherwise

    async def whole(self, request: Request) -> Whole:
        """Ask, and read all of the answer."""
        if not can_be_asked(request.url):
            return await self._otherwise.whole(request)
        headers = {"Accept-Encoding": ACCEPTED, **request.headers}
        try:
            answer = await self._lines.ask(request.method, request.url, headers, request.body or b"", stall=math.inf)
        except TimeoutError:
            raise
        except LineClosed as error:
            raise NoAnswer("stale", _reason(error)) from error
        except OSError as error:
            raise NoAnswer("unreachable", _reason(error)) from error
        try:
            body = await answer.whole(request.most)
            coding = answer.headers.get("Content-Encoding")
            if body is not None and coding:
                body = decoded(body, coding, request.most)
        except TimeoutError:
            raise
        except OSError as error:
            raise NoAnswer("broken", "its connection broke off") from error
        finally:
            answer.close()
        if body is None:
            raise SiteMisbehaved(self._site, f"answer is larger than {request.most} bytes")
        return Whole(answer.status, answer.headers, body)


def _reason(error: Exception) -> str:
    """Say what happened without an address: users may see it, and the site's address need not be public."""
    if isinstance(error, SiteUnavailable):
        return error.reason
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        return "its name cannot be resolved"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return f"cannot be reached ({type(cause).__name__})"


def _trouble(error: Exception, *, headed: bool) -> Trouble:
    if headed:
        return "broken"
    return "stale" if isinstance(error, aiohttp.ServerDisconnectedError) else "unreachable"
