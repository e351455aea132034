"""Lines keep to the guards of what goes out: no private address that nobody has named, however it is written."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from edges.errors import DestinationRefused
from edges.hops import HOPS
from edges.http import Outbound


class Fixed(AbstractResolver):
    """Answers each question with the same addresses, and notes what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://[::1]:1/", "http://[::ffff:10.0.0.1]/", "http://127.1/", "http://0x7f.1/"]
)
async def test_private_addresses_are_not_dialled_in_whatever_form(url: str) -> None:
    async with Outbound(allowed=["http://127.0.0.1:2"]) as outbound:
        with pytest.raises(DestinationRefused):
            await outbound.lines.ask("GET", url, {})


@pytest.mark.parametrize("answers", [("10.0.0.1",), ("93.184.216.34", "::1")])
async def test_names_of_private_addresses_are_not_dialled(answers: tuple[str, ...]) -> None:
    resolver = Fixed(*answers)
    async with Outbound(allowed=[], resolver=resolver) as outbound:
        with pytest.raises(DestinationRefused):
            await outbound.lines.ask("GET", "http://hub.example/", {})
    assert resolver.asked == ["hub.example"]


async def test_what_an_operator_named_is_asked_with_our_name_by_whatever_name_it_has() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Outbound(allowed=[f"http://hub:{port}"], resolver=Fixed("127.0.0.1"), name="gate") as outbound:
        answer = await outbound.lines.ask("GET", f"http://hub:{port}/a", {})
        answer.close()
    assert answer.status == 204
    assert f"{HOPS}: gate".encode() in heads[0]
    assert f"Host: hub:{port}".encode() in heads[0]
