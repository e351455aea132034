"""A proxy in front of a real S3 service that fails on request: before, in the middle of, or after a call."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from served_app import served
from yarl import URL

SLOW_DOWN = (503, b"<Error><Code>SlowDown</Code></Error>")
BROKEN = (500, b"<Error><Code>InternalError</Code></Error>")
FULL = (507, b"<Error><Code>QuotaExceeded</Code></Error>")

Fault = Callable[["UnrulyS3", web.Request], "object"]


class UnrulyS3:
    """Passes calls on. ``faults`` is asked for each; what it returns happens in place of, or after, the call.

    ``"refuse"`` 503 without reading the body; ``"full"`` 507; ``"cut"`` the connection ends after the first bytes of
    the body; ``"forget"`` the call is made and its answer is lost; ``"broken"`` 500 after the body was read.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.faults: Callable[[web.Request], str | None] = lambda _: None
        self.happened: list[str] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["UnrulyS3"]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session, served(app) as self.url:
            yield self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults(request)
        if fault is not None:
            self.happened.append(f"{fault} {request.method}")
        if fault in ("refuse", "full"):
            status, body = SLOW_DOWN if fault == "refuse" else FULL
            return web.Response(status=status, body=body)
        if fault == "cut":
            await request.content.readany()
            return self._hang_up(request)
        if fault == "broken":
            await request.read()
            return web.Response(status=BROKEN[0], body=BROKEN[1])
        return await self._passed_on(request, forget=fault == "forget")

    async def _passed_on(self, request: web.Request, *, forget: bool) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name not in ("Connection", "Expect")}
        body = request.content if request.body_exists else None
        url = URL(self._target + request.raw_path, encoded=True)
        try:
            answer = await self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        except (aiohttp.ClientError, ConnectionError):
            return self._hang_up(request)
        async with answer:
            if forget:
                await answer.read()
                return self._hang_up(request)
            skipped = ("Transfer-Encoding", "Connection")
            response = web.StreamResponse(
                status=answer.status,
                headers={name: value for name, value in answer.headers.items() if name not in skipped},
            )
            await response.prepare(request)
            if request.method != "HEAD":
                async for piece in answer.content.iter_any():
                    await response.write(piece)
            await response.write_eof()
            return response

    @staticmethod
    def _hang_up(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
