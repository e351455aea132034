"""A source that misbehaves on request."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

from aiohttp import web
from served_app import served

Fault = Callable[[web.Request, bytes, int], "asyncio.Future[web.StreamResponse]"]


RANGED = web.RequestKey("ranged", bool)
STOP = web.RequestKey("stop", int)
PIECE = 1 << 18


class Origin:
    """An HTTP server of files with ETags and ranges; each path may have faults, used up one per request.

    With a ``gate``, the second half of each body waits until it is open.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.requests: list[tuple[str, str]] = []
        self.sent: defaultdict[str, int] = defaultdict(int)
        self.etags = True
        self.ranges = True
        self.open = self.most_open = 0
        self.meeting: Callable[[], Awaitable[None]] | None = None
        self.gate: asyncio.Event | None = None
        self.url = ""

    def add(self, path: str, body: bytes) -> None:
        self.files[path] = body

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Origin"]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        async with served(app, port=port) as self.url:
            try:
                yield self
            finally:
                if self.gate is not None:
                    self.gate.set()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.requests.append((path, request.headers.get("Range", "")))
        assert "Cookie" not in request.headers
        assert "Authorization" not in request.headers
        body = self.files.get(path)
        if body is None:
            return web.Response(status=404)
        asked = request.headers.get("Range")
        start, stop = 0, len(body)
        if asked and self.ranges and request.headers.get("If-Range") == self.etag(path):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else len(body)
        request[RANGED] = start > 0 or stop < len(body)
        request[STOP] = stop
        if self.faults[path]:
            return await self.faults[path].pop(0)(request, body, start)
        return await self.send(request, body, start)

    def etag(self, path: str) -> str:
        return f'"{hashlib.md5(self.files[path], usedforsecurity=False).hexdigest()}"'

    def begin(self, request: web.Request, body: bytes, start: int) -> web.StreamResponse:
        stop = request[STOP] if request[STOP] > start else len(body)
        response = web.StreamResponse(status=206 if request[RANGED] else 200)
        response.content_length = stop - start
        if self.etags:
            response.headers["ETag"] = self.etag(request.match_info["path"])
        if request[RANGED]:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return response

    async def send(self, request: web.Request, body: bytes, start: int) -> web.StreamResponse:
        response = self.begin(request, body, start)
        await response.prepare(request)
        stop = request[STOP] if request[STOP] > start else len(body)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            half = len(body) // 2
            ends = {*range(start, stop, PIECE), stop} | ({half} if start < half < stop else set())
            for position, end in pairwise(sorted(ends)):
                if self.gate is not None and position >= half:
                    await self.gate.wait()
                if self.meeting is not None:
                    await self.meeting()
                piece = body[position:end]
                await response.write(piece)
                self.sent[request.match_info["path"]] += len(piece)
        finally:
            self.open -= 1
        await response.write_eof()
        return response

    # -- faults ------------------------------------------------------------------------------------------------

    def reset_after(self, count: int) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            response = self.begin(request, body, start)
            await response.prepare(request)
            await response.write(body[start : start + count])
            transport = request.transport
            assert transport is not None
            await asyncio.sleep(0)
            transport.abort()
            return response

        return fault

    def status(self, code: int, **headers: str) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=code, headers=named)

        return fault

    def instead(self, other: bytes) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            return await self.send(request, other, start)

        return fault

    def stall_after(self, count: int) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            response = self.begin(request, body, start)
            await response.prepare(request)
            await response.write(body[start : start + count])
            await asyncio.Event().wait()
            return response

        return fault

    def drip(self) -> Fault:
        async def fault(request: web.Request, body: bytes, start: int) -> web.StreamResponse:
            response = self.begin(request, body, start)
            await response.prepare(request)
            for position in range(start, len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(0.02)
            return response

        return fault
