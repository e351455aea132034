"""Downloads where something breaks: sites that lie, lines that end, clients that stop taking, gateways that stop."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from data_scene import ALICE, BOB, Lake, Origin, lake_of, scene
from waiting import until

from edges.settings import DownloadSettings
from gateway.data.hrefs import data_path
from gateway.settings import DataSettings
from quotas.model import Policy

pytestmark = pytest.mark.service

BODY = random.Random(11).randbytes(5_000_003)
MIB = 1 << 20


def path_of(asset: str = "B01") -> str:
    return data_path(site="hub", collection="scenes", item="one", asset=asset)


@asynccontextmanager
async def lake_over(url: str, folder: Path, **options: Any) -> AsyncIterator[Lake]:
    items = {"hub": [scene("one", {"B01": f"{url}/B01.tif", "B02": f"{url}/B02.tif"})]}
    async with lake_of(folder, items, more={"hub": {"asset_origins": (url,)}}, **options) as lake:
        yield lake


@asynccontextmanager
async def raw_server(
    answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve bytes as they are written, whatever HTTP says; ``answer`` gets the request's head."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(await reader.readuntil(b"\r\n\r\n"), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def written(writer: asyncio.StreamWriter, *parts: bytes) -> None:
    for part in parts:
        writer.write(part)
    await writer.drain()


async def test_a_download_that_was_cut_goes_on_where_it_ended(tmp_path: Path, origin: Origin) -> None:
    origin.files["B01.tif"] = BODY
    async with lake_over(origin.url, tmp_path) as lake:
        async with lake.get(path_of()) as response:
            etag, first = response.headers["ETag"], await response.content.readexactly(1_234_567)
            response.close()  # as where the program is killed
        headers = {"Range": f"bytes={len(first)}-", "If-Range": etag}
        status, rest, _ = await lake.body(path_of(), headers=headers)
        assert (status, first + rest) == (206, BODY)

        async def ended() -> bool:
            return await lake.metric('lakegate_downloads_in_flight{site="hub"}') == 0

        await until(ended)


async def test_a_line_to_the_site_that_breaks_is_mended_unseen(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def breaks(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(head)
        start = 0
        if b"Range: bytes=" in head:
            start = int(head.split(b"Range: bytes=")[1].split(b"-")[0])
        rest = BODY[start:]
        status = b"206 Partial Content" if start else b"200 OK"
        told = b"Content-Range: bytes %d-%d/%d\r\n" % (start, len(BODY) - 1, len(BODY)) if start else b""
        head = b'HTTP/1.1 %s\r\nETag: "v1"\r\nContent-Length: %d\r\n%s\r\n' % (status, len(rest), told)
        await written(writer, head, rest[: 2 * MIB])

    async with raw_server(breaks) as url, lake_over(url, tmp_path) as lake:
        status, body, _ = await lake.body(path_of())
        assert (status, body) == (200, BODY)
        assert len(asked) == 3


@pytest.mark.parametrize(
    ("kind", "head", "sent"),
    [
        ("ends early", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 3000),
        ("chunked, ends early", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n", 3000),
        ("another version goes on", b'HTTP/1.1 200 OK\r\nETag: "%r"\r\nContent-Length: 5000\r\n\r\n', 3000),
    ],
)
async def test_a_site_that_breaks_off_breaks_the_download_off(
    tmp_path: Path, kind: str, head: bytes, sent: int
) -> None:
    count = iter(range(100))

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await written(writer, head.replace(b"%r", b"v%d" % next(count)), bytes(sent))

    async with raw_server(answer) as url, lake_over(url, tmp_path) as lake:
        async with lake.get(path_of()) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert await lake.metric('lakegate_downloads_total{end="broken",site="hub"}') == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99/5000\r\nContent-Length: 100\r\n\r\n",  # of another
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-199/5000\r\nContent-Length: 90\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-299/5000\r\nContent-Length: 200\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-199/150\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",  # its end cannot be told from a broken line
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /B01.tif\r\nContent-Length: 0\r\n\r\n",  # for ever
        b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n",
        b"no http at all\r\n\r\n",
    ],
)
async def test_an_answer_that_contradicts_itself_is_told_before_the_first_byte(tmp_path: Path, head: bytes) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await written(writer, head, bytes(200))

    async with raw_server(answer) as url, lake_over(url, tmp_path) as lake:
        status, body, headers = await lake.body(path_of(), headers={"Range": "bytes=100-199"})
        assert status in (502, 503), body
        assert headers["Content-Type"] == "application/problem+json"
        assert url.encode() not in body


async def test_a_redirect_to_where_no_stranger_may_lead_is_not_followed(tmp_path: Path, origin: Origin) -> None:
    async with Origin().serving() as private:
        private.files["secret"] = b"inside"
        for target in (f"{private.url}/secret", "http://169.254.169.254/", "file:///etc/passwd", "http://[::1]/x"):

            async def lead_away(request: web.Request, _: bytes, target: str = target) -> web.Response:
                return web.Response(status=302, headers={"Location": target})

            origin.answers["B01.tif"] = lead_away
            folder = tmp_path / str(abs(hash(target)))
            folder.mkdir()
            async with lake_over(origin.url, folder) as lake:
                status, body, _ = await lake.body(path_of())
                assert (status, b"inside" in body) == (403, False)
        assert private.requests == []


async def test_what_a_site_puts_into_its_headers_does_not_become_ours(tmp_path: Path) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: not quoted\r\nLast-Modified: yesterday\r\n"
        b"Set-Cookie: session=evil\r\nContent-Type: text/html\r\n"
        b"Access-Control-Allow-Origin: https://evil.example\r\nAccess-Control-Allow-Credentials: true\r\n"
        b'Content-Disposition: inline; filename="../../x\\";.html"\r\nStrict-Transport-Security: max-age=0\r\n\r\n'
    )

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await written(writer, head, b"abcd")

    async with raw_server(answer) as url, lake_over(url, tmp_path) as lake:
        _, body, headers = await lake.body(path_of())
    assert body == b"abcd"
    assert not {"Set-Cookie", "ETag", "Last-Modified", "Strict-Transport-Security"} & set(headers)
    assert headers.getall("Access-Control-Allow-Origin") == ["*"]  # our own word, for all pages and without cookies
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["Content-Disposition"].startswith("attachment;")
    assert "/" not in headers["Content-Disposition"]
    assert headers["Content-Security-Policy"].startswith("sandbox")


async def test_a_busy_site_is_told_as_such_with_when_to_come_again(tmp_path: Path, origin: Origin) -> None:
    async def busy(request: web.Request, _: bytes) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async def preparing(request: web.Request, _: bytes) -> web.Response:
        return web.Response(status=202, headers={"Retry-After": "120"})

    origin.answers |= {"B01.tif": busy, "B02.tif": preparing}
    async with lake_over(origin.url, tmp_path) as lake:
        status, _, headers = await lake.body(path_of("B01"))
        assert (status, headers["Retry-After"]) == (503, "7")
        status, body, headers = await lake.body(path_of("B02"))
        assert (status, headers["Retry-After"]) == (503, "120")
        assert b"prepared" in body


def slow_reader(lake: Lake, token: str = ALICE) -> socket.socket:
    """Ask for a download, and take nothing of it."""
    url = aiohttp.client.URL(lake.url)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((url.host, url.port))
    head = f"GET {path_of()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    line.sendall(head.encode())
    return line


async def endless(request: web.Request, _: bytes) -> web.StreamResponse:
    """Give a terabyte, as fast as it is taken."""
    response = web.StreamResponse()
    response.content_length = 1 << 40
    await response.prepare(request)
    piece = bytes(64 << 10)
    while True:
        await response.write(piece)


async def test_a_client_that_takes_nothing_is_dropped_and_the_site_let_go(tmp_path: Path, origin: Origin) -> None:
    let_go = asyncio.Event()

    async def watched(request: web.Request, body: bytes) -> web.StreamResponse:
        try:
            return await endless(request, body)
        finally:
            let_go.set()

    origin.answers["B01.tif"] = watched
    async with lake_over(origin.url, tmp_path, data=DataSettings(stall_seconds=0.5)) as lake:
        with slow_reader(lake):
            async with asyncio.timeout(20):
                await let_go.wait()

            async def counted() -> bool:
                return await lake.metric('lakegate_downloads_total{end="stalled",site="hub"}') == 1

            await until(counted)
            assert await lake.metric('lakegate_downloads_in_flight{site="hub"}') == 0
            sent = await lake.metric('lakegate_download_bytes_total{site="hub"}')
            assert 0 < sent < 20 * MIB


async def read_over(response: aiohttp.ClientResponse) -> None:
    while await response.content.readany():
        pass


async def test_a_client_that_takes_less_than_the_least_rate_is_dropped(tmp_path: Path, origin: Origin) -> None:
    origin.answers["B01.tif"] = endless
    data = DataSettings(stall_seconds=0.2, least_rate=1 << 40)
    async with lake_over(origin.url, tmp_path, data=data) as lake:
        async with lake.get(path_of()) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await read_over(response)

        async def counted() -> bool:
            return await lake.metric('lakegate_downloads_total{end="stalled",site="hub"}') == 1

        await until(counted)


async def test_a_site_that_gives_nothing_is_given_up(tmp_path: Path) -> None:
    async def stalls(_: bytes, writer: asyncio.StreamWriter) -> None:
        await written(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", bytes(100))
        await asyncio.sleep(60)

    data = DataSettings(stall_seconds=0.5)
    async with (
        raw_server(stalls) as url,
        lake_over(url, tmp_path, data=data) as lake,
        lake.get(path_of()) as response,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_site_that_drips_its_headers_is_given_up(tmp_path: Path) -> None:
    async def drips(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            await written(writer, b"X-%d: x\r\n" % number)
            await asyncio.sleep(0.1)

    data = DataSettings(stall_seconds=0.5)
    async with raw_server(drips) as url, lake_over(url, tmp_path, data=data) as lake:
        assert (await lake.body(path_of()))[0] == 503


async def test_slow_readers_fill_their_own_places_only(tmp_path: Path, origin: Origin) -> None:
    origin.answers["B01.tif"] = endless
    origin.files["B02.tif"] = b"quick"
    downloads = {"hub": DownloadSettings(in_flight=3)}
    data = DataSettings(per_user=2)
    async with lake_over(origin.url, tmp_path, downloads=downloads, data=data) as lake:

        async def under_way(count: int) -> bool:
            return await lake.metric('lakegate_downloads_in_flight{site="hub"}') == count

        with slow_reader(lake), slow_reader(lake):
            await until(lambda: under_way(2))
            status, body, headers = await lake.body(path_of("B02"))
            assert (status, headers["Retry-After"]) == (429, "5"), body
            assert (await lake.body(path_of("B02"), token=BOB))[:2] == (200, b"quick")
            with slow_reader(lake, BOB):
                await until(lambda: under_way(3))
                status, body, headers = await lake.body(path_of("B02"), token=BOB)
                assert (status, headers["Retry-After"]) == (503, "5"), body
                async with lake.session.post(f"{lake.url}/search", json={"limit": 1}) as found:
                    assert found.status == 200
        await until(lambda: under_way(0))


def window(amount: float, **more: Any) -> Policy:
    return Policy(
        name="egress", group="eo", resource="egress_bytes", kind="window", amount=amount, window_seconds=3600, **more
    )


async def test_what_was_really_sent_is_charged_and_no_more(tmp_path: Path, origin: Origin) -> None:
    origin.files["B01.tif"] = BODY  # has a lease of its own
    origin.files["B02.tif"] = BODY[:1000]
    async with lake_over(origin.url, tmp_path, policies=(window(100e6),)) as lake:
        await lake.body(path_of("B01"))
        assert await lake.used() == len(BODY)
        await lake.body(path_of("B01"), method="HEAD")
        await lake.body(path_of("B01"), headers={"If-None-Match": origin.etag(BODY)})
        await lake.body(path_of("B01"), token=BOB)
        assert await lake.used() == len(BODY)


async def test_a_client_that_leaves_is_charged_for_what_it_got(tmp_path: Path, origin: Origin) -> None:
    origin.answers["B01.tif"] = endless
    async with lake_over(origin.url, tmp_path, policies=(window(1 << 41),)) as lake:
        async with lake.get(path_of()) as response:
            await response.content.readexactly(10 * MIB)
            response.close()

        async def settled() -> bool:
            return 10 * MIB <= await lake.used() < 40 * MIB

        await until(settled)


async def test_more_than_the_quota_is_refused_before_the_first_byte(tmp_path: Path, origin: Origin) -> None:
    origin.files |= {"B01.tif": BODY, "B02.tif": BODY[:2_000_000]}
    async with lake_over(origin.url, tmp_path, policies=(window(6e6, contact="desk@lake"),)) as lake:
        assert (await lake.body(path_of("B01")))[0] == 200
        status, body, headers = await lake.body(path_of("B01"))
        assert (status, "Retry-After" in headers, "RateLimit" in headers) == (429, True, True)
        assert b"desk@lake" in body
        assert b'"egress_bytes"' in body
        assert (await lake.body(path_of("B02")))[0] == 429
        assert (await lake.body(path_of("B02"), headers={"Range": "bytes=0-999"}))[0] == 206
        assert (await lake.body(path_of("B02"), token=BOB))[0] == 200
        assert await lake.metric('lakegate_downloads_total{end="quota",site="hub"}') == 2


async def test_bytes_of_unknown_number_are_charged_as_they_go(tmp_path: Path, origin: Origin) -> None:
    async def chunked(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(body)
        return response

    origin.files["B01.tif"] = BODY
    origin.answers["B01.tif"] = chunked
    async with lake_over(origin.url, tmp_path, policies=(window(100e6),)) as lake:
        status, body, headers = await lake.body(path_of())
        assert (status, body, headers.get("Content-Length")) == (200, BODY, None)
        status, body, _ = await lake.body(path_of(), headers={"Range": "bytes=5-9"})
        assert (status, body) == (200, BODY)  # a part of what has no length cannot be told: the whole is honest
        assert await lake.used() == 2 * len(BODY)


async def test_a_gateway_that_is_stopped_charges_what_it_has_sent(tmp_path: Path, origin: Origin) -> None:
    origin.answers["B01.tif"] = endless
    policies = (window(1 << 41),)
    async with lake_over(origin.url, tmp_path, policies=policies) as lake:

        async def under_way() -> bool:
            return await lake.metric('lakegate_downloads_in_flight{site="hub"}') == 1

        line = slow_reader(lake)
        await until(under_way)
    line.close()
    async with lake_over(origin.url, tmp_path, policies=policies) as lake:
        assert 0 < await lake.used() < 20 * MIB  # its lease of a terabyte is over
