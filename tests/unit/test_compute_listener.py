import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from waiting import until

from gateway.client_hello import HelloRefused, read_server_name
from gateway.listener import Listener, server_context


def client_hello(name: str | None) -> bytes:
    """Return a real ClientHello, as OpenSSL makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


class Table(dict[str, tuple[str, int]]):
    def lookup(self, name: str) -> tuple[str, int] | None:
        return self.get(name)


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"peer": request.transport.get_extra_info("peername")[0], "body": await request.text()})


@asynccontextmanager
async def listening(routes: Table, **options: Any) -> AsyncIterator[tuple[Listener, int]]:
    app = web.Application()
    app.router.add_route("*", "/", hello)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listener = Listener(http=runner.server, routes=routes, **options)
    try:
        async with listener.serving("127.0.0.1", 0) as port:
            yield listener, port
    finally:
        await runner.cleanup()


class Edge:
    """A TCP server that keeps what came and answers as it is told."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.writers: list[asyncio.StreamWriter] = []
        self.readers: list[asyncio.StreamReader] = []
        self.came = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[str, int]]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 16)
        try:
            yield server.sockets[0].getsockname()
        finally:
            server.close()
            for writer in self.writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers.append(reader)
        self.writers.append(writer)
        self.came.set()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_plain_http_reaches_the_application_with_its_peer() -> None:
    async with listening(Table()) as (_, port), aiohttp.ClientSession() as session:
        async with session.post(f"http://127.0.0.1:{port}/", data=b"x" * 100_000) as response:
            said = await response.json()
        assert (said["peer"], len(said["body"])) == ("127.0.0.1", 100_000)
        async with session.get(f"http://127.0.0.1:{port}/") as response:
            assert response.status == 200


async def test_a_comm_is_passed_to_its_edge_with_the_hello_unchanged_and_half_closes_right() -> None:
    edge = Edge()
    first = client_hello("daskgateway-abc")
    async with edge.running() as address, listening(Table(abc=address)) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for at in range(0, len(first), 100):  # in pieces, as a slow network would bring it
            writer.write(first[at : at + 100])
            await writer.drain()
            await asyncio.sleep(0)
        await asyncio.wait_for(edge.came.wait(), 5)
        assert await edge.readers[0].readexactly(len(first)) == first
        writer.write(b"more")
        writer.write_eof()
        assert await edge.readers[0].read(100) == b"more"
        assert await edge.readers[0].read() == b""  # the half-close came through
        assert listener.comms == 1
        edge.writers[0].write(b"answer")
        edge.writers[0].write_eof()
        assert await reader.read() == b"answer"
        await until(lambda: listener.comms == 0)
        await closed(writer)


async def test_a_slow_reader_pauses_the_edge() -> None:
    edge = Edge()
    first = client_hello("daskgateway-abc")
    size = 64 << 20
    async with edge.running() as address, listening(Table(abc=address)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        await asyncio.wait_for(edge.came.wait(), 5)
        flood = asyncio.create_task(_flood(edge.writers[0], size))
        done, _ = await asyncio.wait({flood}, timeout=0.5)
        assert not done, "64 MiB were taken though nobody reads"
        received = 0
        async with asyncio.timeout(20):
            while received < size:
                received += len(await reader.read(1 << 20))
        await flood
        await closed(writer)


async def _flood(writer: asyncio.StreamWriter, size: int, letter: bytes = b"z") -> None:
    for _ in range(size >> 16):
        writer.write(letter * (1 << 16))
        await writer.drain()


async def test_comms_side_by_side_carry_their_own_bytes_while_some_are_not_taken() -> None:
    edge = Edge()
    size = 4 << 20
    names = "abcd"
    async with edge.running() as address, listening(Table(dict.fromkeys(names, address))) as (_, port):
        comms, floods = [], []
        for number, name in enumerate(names):
            comms.append(await asyncio.open_connection("127.0.0.1", port, limit=1 << 16))
            comms[-1][1].write(client_hello(f"daskgateway-{name}"))
            await until(lambda opened=number + 1: len(edge.writers) == opened)
            floods.append(asyncio.create_task(_flood(edge.writers[-1], size, name.encode())))
        for name, (reader, _) in reversed(list(zip(names, comms, strict=True))):  # the others' bytes wait meanwhile
            async with asyncio.timeout(20):
                assert await reader.readexactly(size) == name.encode() * size
        await asyncio.gather(*floods)
        for _, writer in comms:
            await closed(writer)


@pytest.mark.parametrize("name", ["daskgateway-unknown", "gateway.example"])
async def test_tls_to_anything_else_is_closed(name: str) -> None:
    async with listening(Table()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(client_hello(name))
        assert await _rest(reader) == b""
        await closed(writer)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


async def test_a_hello_that_never_ends_is_cut_off_by_time() -> None:
    async with listening(Table(), hello_seconds=0.2) as (_, port):
        for start in (b"", b"\x16\x03\x01"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            assert await _rest(reader) == b""
            await closed(writer)


async def test_a_cluster_has_a_cap_of_connections_and_frees_it() -> None:
    edge = Edge()
    first = client_hello("daskgateway-abc")
    async with (
        edge.running() as address,
        listening(Table(abc=address), connections_per_cluster=1, half_close_seconds=0.1) as (listener, port),
    ):
        _, kept = await asyncio.open_connection("127.0.0.1", port)
        kept.write(first)
        await asyncio.wait_for(edge.came.wait(), 5)
        reader, refused = await asyncio.open_connection("127.0.0.1", port)
        refused.write(first)
        assert await _rest(reader) == b""
        await closed(refused)
        await closed(kept)
        await until(lambda: listener.comms == 0)


async def test_an_edge_that_does_not_listen_closes_the_comm() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    async with listening(Table(abc=address)) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(client_hello("daskgateway-abc"))
        assert await _rest(reader) == b""
        assert listener.comms == 0
        await closed(writer)


def test_the_server_name_is_read_from_a_real_hello_however_it_is_cut() -> None:
    data = client_hello("daskgateway-0123456789abcdef")
    assert read_server_name(data) == "daskgateway-0123456789abcdef"
    assert all(read_server_name(data[:size]) is None for size in range(len(data)))
    body = data[5:]
    fragments = b"".join(
        b"\x16\x03\x01" + struct.pack("!H", len(body[at : at + 50])) + body[at : at + 50]
        for at in range(0, len(body), 50)
    )
    assert read_server_name(fragments) == "daskgateway-0123456789abcdef"


@pytest.mark.parametrize(
    "data",
    [
        client_hello(None),
        b"\x16\x03\x01\xff\xff" + b"\x01" * 10,
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03\x00\x00",
    ],
    ids=["no name", "record too large", "no hello", "message too large", "cut short"],
)
def test_what_is_no_hello_is_refused(data: bytes) -> None:
    with pytest.raises(HelloRefused):
        assert read_server_name(data) is None


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server for localhost, and of a client that believes it."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key),
         "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return server_context(str(cert), str(key)), ssl.create_default_context(cafile=str(cert))


async def test_https_http_and_comms_share_one_port(tls) -> None:
    server, client = tls
    edge = Edge()
    first = client_hello("daskgateway-abc")
    async with (
        edge.running() as address,
        listening(Table(abc=address), tls=server) as (_, port),
        aiohttp.ClientSession() as session,
    ):
        for host in ("localhost", "127.0.0.1"):  # with and without a server name
            async with session.post(f"https://{host}:{port}/", data=b"x" * 200_000, ssl=client) as response:
                said = await response.json()
            assert (said["peer"], len(said["body"])) == ("127.0.0.1", 200_000)
        async with session.get(f"http://127.0.0.1:{port}/") as response:
            assert response.status == 200
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        await asyncio.wait_for(edge.came.wait(), 5)
        assert await edge.readers[0].readexactly(len(first)) == first
        await closed(writer)


async def test_a_tls_handshake_that_never_ends_is_cut_off(tls) -> None:
    server, _ = tls
    async with listening(Table(), tls=server, connect_seconds=0.2) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(client_hello("localhost"))
        async with asyncio.timeout(5):
            while await reader.read(1 << 16):
                pass
        await closed(writer)


async def test_a_comm_that_the_first_address_does_not_know_takes_the_fallback() -> None:
    edge, centre = Edge(), Edge()
    first = client_hello("daskgateway-abc")
    async with (
        edge.running() as here,
        centre.running() as there,
        listening(Table(abc=here), fallback=there) as (_, port),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        await asyncio.wait_for(edge.came.wait(), 5)
        edge.writers[0].close()  # as a proxy does that knows no such cluster
        await asyncio.wait_for(centre.came.wait(), 5)
        assert await centre.readers[0].readexactly(len(first)) == first
        centre.writers[0].write(b"hello back")
        assert await asyncio.wait_for(reader.readexactly(10), 5) == b"hello back"
        writer.write(b"more")
        assert await asyncio.wait_for(centre.readers[0].readexactly(4), 5) == b"more"
        await closed(writer)


async def test_a_comm_that_the_first_address_answers_stays_there() -> None:
    edge, centre = Edge(), Edge()
    async with (
        edge.running() as here,
        centre.running() as there,
        listening(Table(abc=here), fallback=there) as (_, port),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(client_hello("daskgateway-abc"))
        await asyncio.wait_for(edge.came.wait(), 5)
        edge.writers[0].write(b"hello back")
        assert await asyncio.wait_for(reader.readexactly(10), 5) == b"hello back"
        assert centre.writers == []
        await closed(writer)
