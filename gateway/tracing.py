"""Spans for OpenTelemetry: each request, what is asked of sites for it, and the ledger; and each harvested object.

Off unless the configuration names a collector; then a part of the requests is recorded, chosen by their trace id, or
by who calls (W3C Trace Context, the flag ``sampled``). Ids are those of :mod:`edges.request_ids`, so logs, headers and
spans tell of the same. Nothing that users choose is in a span: routes, sites, methods, states.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeVar

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware, StrOrURL

from edges.http import origin_of
from edges.lines.answers import Answer
from edges.lines.lines import Ask
from edges.model import Frozen
from edges.request_ids import TRACED, Traced, knowing, traced, unlikely_twice
from gateway.middleware import METHODS, route_of

Result = TypeVar("Result")
Told = TypeVar("Told", aiohttp.ClientResponse, Answer)
Kind = Literal["server", "client", "internal"]
SAMPLED = "01"
_LOWER = (1 << 64) - 1


class Span(Frozen):
    """A part of a request, with its place in the trace; times in nanoseconds since 1970."""

    name: str
    kind: Kind
    known: Traced
    start: int
    end: int
    attributes: Mapping[str, str | int] = {}
    failed: bool = False


def sampler(share: float) -> Callable[[str], bool]:
    """Return what decides, by a trace's id, whether it is recorded: all gateways of a share decide alike.

    As the TraceIdRatioBased sampler of the OpenTelemetry specification does: by the lower 64 bits.
    """
    bound = round(share * (_LOWER + 1))
    return lambda trace_id: int(trace_id, 16) & _LOWER < bound


class Spans:
    """Records spans, by handing them to ``export``, which keeps nobody waiting.

    ``sites`` are the names of hosts with their ports; one that is none of these is ``other``.
    """

    def __init__(self, *, export: Callable[[Span], None], share: float, sites: Mapping[tuple[str, int], str]) -> None:
        self.sampled = sampler(share)
        self._export = export
        self._sites = sites

    def middleware(self) -> Middleware:
        """Return the middleware that records requests; it stands after the one that knows their ids."""

        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            known = request[TRACED]
            if known.flags != SAMPLED:
                return await handler(request)
            start, status = time.time_ns(), 500
            try:
                response = await handler(request)
                status = response.status
            finally:
                self._served(request, known, start, status)
            return response

        return record

    async def calling(
        self, request: aiohttp.ClientRequest, call: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
    ) -> aiohttp.ClientResponse:
        """Make a request as a part of the present one (:class:`edges.http.Tracer`), or of a trace that begins here."""
        known = self._below(traced())
        request.headers.update(known.headers)
        return await self._recorded(request.method, request.url, known, lambda: call(request))

    async def asking(self, method: str, url: str, ask: Ask) -> Answer:
        """Make a request by lines (:class:`edges.lines.lines.Recorder`): the same as :meth:`calling`."""
        known = self._below(traced())
        return await self._recorded(method, url, known, lambda: ask(known.headers))

    async def _recorded(self, method: str, url: StrOrURL, known: Traced, call: Callable[[], Awaitable[Told]]) -> Told:
        if known.flags != SAMPLED:
            return await call()
        start, status = time.time_ns(), 0
        try:
            response = await call()
            status = response.status
        finally:
            self._called(method, url, known, (start, status))
        return response

    async def inside(self, name: str, work: Awaitable[Result]) -> Result:
        """Await a part of the present request; outside of requests nothing is recorded."""
        parent = traced()
        if parent is None or parent.flags != SAMPLED:
            return await work
        start, failed = time.time_ns(), True
        try:
            result = await work
            failed = False
        finally:
            known = self._below(parent)
            self._export(Span(name=name, kind="internal", known=known, start=start, end=time.time_ns(), failed=failed))
        return result

    @contextmanager
    def beginning(self, name: str, attributes: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
        """Let work that no request waits for be a trace of its own; what is yielded is told how the work ended.

        What is asked of sites meanwhile is part of it. The span has failed where the end is ``failed`` or is not told.
        """
        known, start, end = self._below(None), time.time_ns(), "failed"

        def told(ending: str) -> None:
            nonlocal end
            end = ending

        try:
            with knowing(known):
                yield told
        finally:
            if known.flags == SAMPLED:
                span = Span(name=name, kind="internal", known=known, start=start, end=time.time_ns())
                ended = {**attributes, "lakegate.end": end, "lakegate.request_id": known.request_id}
                self._export(msgspec.structs.replace(span, attributes=ended, failed=end == "failed"))

    def _served(self, request: web.Request, known: Traced, start: int, status: int) -> None:
        route, method = route_of(request), request.method if request.method in METHODS else "other"
        attributes: dict[str, str | int] = {
            "http.route": route,
            "http.request.method": method,
            "http.response.status_code": status,
            "lakegate.request_id": known.request_id,
        }
        span = Span(name=f"{method} {route}", kind="server", known=known, start=start, end=time.time_ns())
        self._export(msgspec.structs.replace(span, attributes=attributes, failed=status >= 500))

    def _called(self, method: str, url: StrOrURL, known: Traced, came: tuple[int, int]) -> None:
        site = self._sites.get(origin_of(url), "other")
        start, status = came
        attributes: dict[str, str | int] = {
            "lakegate.site": site,
            "http.request.method": method,
            "http.response.status_code": status,
        }
        span = Span(name=f"{method} {site}", kind="client", known=known, start=start, end=time.time_ns())
        self._export(msgspec.structs.replace(span, attributes=attributes, failed=not 0 < status < 500))

    def _below(self, parent: Traced | None) -> Traced:
        """Return what a part of a request is known by; where there is no request, of a trace that begins here."""
        span_id = unlikely_twice(8)
        if parent is not None:
            return msgspec.structs.replace(parent, span_id=span_id, parent_id=parent.span_id)
        trace_id = unlikely_twice(16)
        flags = SAMPLED if self.sampled(trace_id) else "00"
        return Traced(request_id=unlikely_twice(16), trace_id=trace_id, span_id=span_id, flags=flags)
