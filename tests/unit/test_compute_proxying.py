import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from served_app import served

from edges.compute.model import Upstream
from edges.errors import NotFound, SiteUnavailable
from gateway.proxying import EdgeProxy, ProxyLimits

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with served(app) as url:
        yield url


@asynccontextmanager
async def proxied(edge: Handler, **limits) -> AsyncIterator[tuple[str, EdgeProxy]]:
    """Run an edge and a proxy in front of it; errors come as the status they carry."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session, serving(edge) as edge_url:
        proxy = EdgeProxy(session=session, limits=ProxyLimits(**limits))

        async def front(request: web.Request) -> web.StreamResponse:
            upstream = Upstream(url=edge_url + request.path, headers={"Authorization": "token edge"})
            try:
                if request.headers.get("Upgrade"):
                    return await proxy.websocket(request, upstream)
                return await proxy.stream(request, upstream, prepare=lambda _: None)
            except (NotFound, SiteUnavailable) as error:
                return web.Response(status=error.status, text=str(error))

        async with serving(front) as url:
            yield url, proxy


async def test_no_credentials_cookies_or_forwarding_headers_of_the_client_reach_the_edge() -> None:
    seen: dict[str, str] = {}

    async def edge(request: web.Request) -> web.Response:
        seen.update(request.headers)
        return web.Response(text="ok", headers={"Set-Cookie": "a=b", "X-Evil": "1", "ETag": '"e"'})

    headers = {"Authorization": "Bearer user", "Cookie": "s=1", "X-Forwarded-For": "1.2.3.4", "Accept": "text/html"}
    async with (
        proxied(edge) as (url, _),
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url + "/x") as response,
    ):
        assert await response.text() == "ok"
        assert response.headers["ETag"] == '"e"'
        assert not {"Set-Cookie", "X-Evil"} & set(response.headers)
    assert seen["Authorization"] == "token edge"
    assert seen["Accept"] == "text/html"
    assert not {"Cookie", "X-Forwarded-For"} & set(seen)


@pytest.mark.parametrize(
    ("location", "passed"),
    [("status", True), ("http://evil.example/", False), ("//evil.example/", False), ("/admin", False)],
)
async def test_an_edge_cannot_lead_the_client_elsewhere(location, passed) -> None:
    async def edge(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    async with (
        proxied(edge) as (url, _),
        aiohttp.ClientSession() as session,
        session.get(url + "/x", allow_redirects=False) as response,
    ):
        assert response.status == 302
        assert ("Location" in response.headers) is passed


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    async def edge(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        request.transport.abort()
        return response

    async with proxied(edge) as (url, _), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(url + "/x") as response:
                await response.read()


async def test_an_edge_that_stalls_or_is_not_there_is_unavailable() -> None:
    async def edge(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    async with (
        proxied(edge, stall_seconds=0.1) as (url, _),
        aiohttp.ClientSession() as session,
        session.get(url + "/x") as response,
    ):
        assert response.status == 503


async def echo(request: web.Request) -> web.StreamResponse:
    if request.path == "/missing":
        raise web.HTTPNotFound
    socket = web.WebSocketResponse(protocols=("two",), max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.data == "close":
            await socket.close(code=4001)
        elif isinstance(message.data, str):
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


async def test_websockets_pass_text_bytes_subprotocols_and_close_codes() -> None:
    async with (
        proxied(echo) as (url, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(url + "/x", protocols=("one", "two"), max_msg_size=0) as socket,
    ):
        assert socket.protocol == "two"
        await socket.send_str("é")
        assert await socket.receive_str() == "é"
        await socket.send_bytes(b"\xff" * 5_000_000)
        assert len(await socket.receive_bytes()) == 5_000_000
        await socket.send_str("close")
        message = await socket.receive()
        assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 4001)


async def test_an_edges_refusal_comes_before_the_clients_upgrade() -> None:
    async with proxied(echo) as (url, _), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await session.ws_connect(url + "/missing")


async def test_a_message_above_the_limit_ends_the_websocket() -> None:
    async with (
        proxied(echo, message_bytes=1000) as (url, _),
        aiohttp.ClientSession() as session,
        session.ws_connect(url + "/x") as socket,
    ):
        await socket.send_bytes(b"x" * 2000)
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert socket.close_code == 1009


async def test_open_websockets_are_told_when_the_gateway_goes() -> None:
    async with (
        proxied(echo) as (url, proxy),
        aiohttp.ClientSession() as session,
        session.ws_connect(url + "/x") as socket,
    ):
        await socket.send_str("here")
        await socket.receive_str()
        closing = asyncio.create_task(proxy.close())
        message = await socket.receive(timeout=5)
        await closing
        assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
