"""One id for a request on all its way: given by the client or made here, in the logs, the answer, and to the sites.

``X-Request-Id`` is for people; ``traceparent`` (W3C Trace Context, Recommendation of 2021, section 3.2) for machines.
"""

import functools
import logging
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edges.model import Frozen

REQUEST_ID = "X-Request-Id"
TRACEPARENT = "traceparent"
_GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""What a client may call its request: fit for a header and for a line of a log."""
_PARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_ID, _MADE_BYTES = 32, 40
"""Characters of an id of a request or a trace, and the random bytes of both and of a span, which are drawn at once."""


class Traced(Frozen):
    """What a request is known by: its id, its trace, our own part (span) of it, and whether it is recorded."""

    request_id: str
    trace_id: str
    span_id: str
    flags: str = "00"
    parent_id: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what goes with each request that is made for this one."""
        return {REQUEST_ID: self.request_id, TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-{self.flags}"}


TRACED = web.RequestKey("traced", Traced)
_NOTHING: Mapping[str, str] = {}
_CURRENT: ContextVar[Traced | None] = ContextVar("traced", default=None)


def nothing_sampled(trace_id: str) -> bool:
    """Tell that nothing is recorded."""
    return False


def unlikely_twice(size: int) -> str:
    """Return so many random bytes in hexadecimal digits: to tell things apart, never to keep anything from anybody.

    The kernel is not asked: it would be for each object that is harvested, and each time others take the turn.
    """
    return f"{random.getrandbits(8 * size):0{2 * size}x}"


def read_traced(
    headers: Mapping[str, str],
    *,
    token: Callable[[int], str] = unlikely_twice,
    sampled: Callable[[str], bool] = nothing_sampled,
) -> Traced:
    """Return what a request with these headers is known by; what is missing or malformed is made by ``token``.

    Whether it is recorded says who calls, or, where a trace begins here, ``sampled``.
    """
    told, before = headers.get(REQUEST_ID), headers.get(TRACEPARENT)
    given = _GIVEN.fullmatch(told) if told else None
    parent = _PARENT.fullmatch(before.strip()) if before else None
    if parent is not None and (parent["trace"] == _NO_TRACE or parent["span"] == _NO_SPAN):
        parent = None
    made = token(_MADE_BYTES)
    request_id = given[0] if given is not None else made[:_ID]
    trace_id = parent["trace"] if parent is not None else made[_ID : 2 * _ID]
    recorded = bool(int(parent["flags"], 16) & 1) if parent is not None else sampled(trace_id)
    return Traced(
        request_id=request_id,
        trace_id=trace_id,
        span_id=made[2 * _ID :],
        flags="01" if recorded else "00",
        parent_id=parent["span"] if parent is not None else "",
    )


def traced() -> Traced | None:
    """Return what the request at hand is known by, if there is one."""
    return _CURRENT.get()


@contextmanager
def knowing(known: Traced) -> Iterator[None]:
    """Know what is done in the context, and tasks that begin in it, by these ids: work that no request waits for."""
    token = _CURRENT.set(known)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def travelling_headers() -> Mapping[str, str]:
    """Return the headers for a request to a site: none outside of a request."""
    current = _CURRENT.get()
    return _headers_of(current) if current is not None else _NOTHING


@functools.lru_cache(maxsize=64)
def _headers_of(known: Traced) -> Mapping[str, str]:
    """Return what goes with each request for this one; every site that it asks is sent the same."""
    return known.headers


def request_ids(sampled: Callable[[str], bool] = nothing_sampled) -> Middleware:
    """Return a middleware that knows the request, and all tasks that it starts, by its id.

    :func:`tell_request_id` tells it in the answer. ``sampled`` decides, by the id of a trace that begins here, whether
    it is recorded.
    """

    @web.middleware
    async def know(request: web.Request, handler: Handler) -> web.StreamResponse:
        known = read_traced(request.headers, sampled=sampled)
        token = _CURRENT.set(known)
        request[TRACED] = known
        try:
            return await handler(request)
        finally:
            _CURRENT.reset(token)

    return know


async def tell_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Put the id on the answer (a handler of ``on_response_prepare``, which streams have, too)."""
    known = request.get(TRACED)
    if known is not None:
        response.headers[REQUEST_ID] = known.request_id


def know_requests(record: logging.LogRecord) -> bool:
    """Put the ids on the record of a log (a filter of ``logging``)."""
    known = _CURRENT.get()
    if known is not None:
        record.request_id = known.request_id
        record.trace_id = known.trace_id
    return True
