"""What goes through a tunnel comes out as it went in; who may not come in does not; what breaks off comes back."""

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from free_ports import free_port
from tunnel_scene import edge_end, gateway_end, tunnelled
from waiting import until

from gateway.config import ConfigError, read_group
from gateway.tunnel.edge_settings import EdgeTunnelSettings
from gateway.tunnel.pool import MOST_WAITING

pytestmark = pytest.mark.service


@asynccontextmanager
async def service(handle):
    """Run a service of the edge; yield its port."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader, writer):
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


async def asked(port, data):
    """Send, end that direction, and read all that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_bytes_come_back_as_they_went_and_a_half_close_is_passed_on():
    data = os.urandom(20 << 20)
    async with service(echo) as port, tunnelled({"echo": port}) as ports:
        async with asyncio.timeout(60):
            answers = await asyncio.gather(asked(ports["echo"], data), asked(ports["echo"], b"small"))
    assert hashlib.sha256(answers[0]).digest() == hashlib.sha256(data).digest()
    assert answers[1] == b"small"


async def test_many_streams_share_few_waiting_connections():
    async with service(echo) as port, tunnelled({"echo": port}) as ports, asyncio.timeout(60):
        told = [f"stream {n}".encode() for n in range(60)]
        assert await asyncio.gather(*(asked(ports["echo"], each) for each in told)) == told


async def test_who_does_not_read_holds_up_who_sends():
    held = asyncio.Event()

    async def deaf(reader, writer):
        await held.wait()
        writer.close()

    async with service(deaf) as port, tunnelled({"deaf": port}) as ports:
        _, writer = await asyncio.open_connection("127.0.0.1", ports["deaf"])
        sent = 0
        try:
            while sent < 64:
                writer.write(bytes(1 << 20))
                await asyncio.wait_for(writer.drain(), 1)
                sent += 1
        except TimeoutError:
            held.set()
        assert sent < 64  # MiB: what all buffers on the way hold
        assert held.is_set()
        writer.transport.abort()


async def test_a_service_that_breaks_off_breaks_off_here():
    async def rude(reader, writer):
        await reader.read(1)
        writer.transport.abort()

    async with service(rude) as port, tunnelled({"rude": port}) as ports, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", ports["rude"])
        writer.write(b"x")
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_only_what_the_edge_names_can_be_reached():
    async with (
        service(echo) as port,
        gateway_end({"echo": (near := free_port()), "other": (foreign := free_port())}) as (
            pool,
            url,
        ),
        edge_end(url, {"echo": f"127.0.0.1:{port}"}).running(),
        asyncio.timeout(20),
    ):
        await until(lambda: pool.told("edge-t")[0] > 0)
        assert await asked(near, b"mine") == b"mine"
        assert await refused(foreign)


async def refused(port):
    try:
        return await asked(port, b"x") == b""
    except ConnectionError:
        return True


async def test_without_the_edge_a_connection_is_closed_at_once():
    async with gateway_end({"echo": (port := free_port())}), asyncio.timeout(3):
        assert await refused(port)


async def test_a_wrong_secret_and_another_edge_are_refused():
    async with gateway_end({"echo": free_port()}) as (pool, url), aiohttp.ClientSession() as session:
        for edge, secret in (("edge-t", "wrong" * 10), ("edge-u", ""), ("edge-t", "")):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(f"{url}/edges/{edge}/tunnel", headers={"X-Lakegate-Edge-Secret": secret})
        assert pool.told("edge-t") == (0, 0)


async def test_the_edge_comes_back_after_the_gateway_was_away():
    ports = {"echo": free_port()}
    address = free_port()
    url = f"http://127.0.0.1:{address}"
    async with service(echo) as port, edge_end(url, {"echo": f"127.0.0.1:{port}"}).running():
        for turn in (b"first", b"second"):
            async with gateway_end(ports, port=address) as (pool, _):
                await until(lambda pool=pool: pool.told("edge-t")[0] > 0)
                assert await asked(ports["echo"], turn) == turn


async def test_an_edge_cannot_fill_the_gateway_with_waiting_connections():
    async with gateway_end({"echo": free_port()}) as (pool, url), aiohttp.ClientSession() as session:
        secret = {"X-Lakegate-Edge-Secret": "tunnel-secret-of-these-tests-32-bytes"}
        sockets = [await session.ws_connect(f"{url}/edges/edge-t/tunnel", headers=secret) for _ in range(MOST_WAITING)]
        one_more = await session.ws_connect(f"{url}/edges/edge-t/tunnel", headers=secret)
        assert (await one_more.receive()).data == 1013
        assert pool.told("edge-t") == (MOST_WAITING, 0)
        await sockets[0].send_str("what I please")
        await until(lambda: pool.told("edge-t")[0] == MOST_WAITING - 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gateways: [ftp://x]\nedge: e\nsecret: s\nservices: {a: 'h:1'}", "http"),
        ("gateways: [http://x]\nedge: e\nsecret: s\nservices: {}", "services"),
        ("gateways: [http://x]\nedge: e\nsecret: s\nservices: {a: h}", "host:port"),
        ("gateways: [http://x]\nedge: e\nsecret: s\nservices: {a: 'h:1'}\nwaiting: 65", "waiting"),
        ("gateways: [http://x]\nedge: e", "secret"),
        ("- what", "tunnel.yaml"),
    ],
)
def test_a_wrong_file_is_told(tmp_path, text, why):
    file = tmp_path / "tunnel.yaml"
    file.write_text(text.replace("secret: s\n", "secret: {env: S}\n"))
    with pytest.raises(ConfigError, match=why):
        read_group(file, EdgeTunnelSettings)
