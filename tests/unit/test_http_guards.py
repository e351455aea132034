"""Server-side request forgery: what we refuse to call, by literal, by name and by redirect."""

import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from served_app import served

from edges.errors import DestinationRefused
from edges.http import Outbound

REFUSED = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://[::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://169.254.169.254/latest/meta-data",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[::]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:0:10.0.0.1]/",
    "http://[::10.0.0.1]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::1]/",
    "http://[2001:db8::1]/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://255.255.255.255/",
    "http://100.64.0.1/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "file:///etc/passwd",
    "ftp://example.org/x",
    "gopher://example.org/",
]


@pytest.mark.parametrize("url", REFUSED)
async def test_a_private_or_odd_address_is_refused_before_anything_is_sent(url: str) -> None:
    async with Outbound(allowed=["http://127.0.0.1:9"]) as outbound:
        with pytest.raises(DestinationRefused):
            outbound.check(url)
        with pytest.raises((DestinationRefused, aiohttp.ClientError)):  # the client itself refuses other schemes
            await outbound.session.get(url)


def test_a_url_with_credentials_inside_is_refused() -> None:
    with pytest.raises(DestinationRefused, match="credentials"):
        Outbound(allowed=[]).check("http://user:secret@93.184.216.34/")


def test_public_addresses_are_allowed() -> None:
    for host in ("93.184.216.34", "[2606:2800:220:1::1]", "[::ffff:93.184.216.34]", "[64:ff9b::5db8:d822]"):
        Outbound(allowed=[]).check(f"https://{host}/x")


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    async with Outbound(allowed=[]) as outbound:
        with pytest.raises(DestinationRefused, match="private"):
            await outbound.session.get("http://localhost:9/")


class Changing(AbstractResolver):
    """Answers each question with the next of these lists of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("private", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "::ffff:127.0.0.1", "fd00::1"])
async def test_a_name_with_one_private_address_among_public_ones_is_refused(private: str) -> None:
    async with Outbound(allowed=[], resolver=Changing(["93.184.216.34", private])) as outbound:
        with pytest.raises(DestinationRefused, match="private"):
            await outbound.session.get("http://lake.example/")


async def test_a_name_whose_address_changes_to_a_private_one_reaches_nobody() -> None:
    reached: list[str] = []

    async def count(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", count)
    async with served(app) as url:
        named = url.replace("127.0.0.1", "lake.example")
        # what was public when the name was first looked at is private when it is dialled
        async with Outbound(allowed=[], resolver=Changing(["127.0.0.1"])) as outbound:
            outbound.check(named)
            with pytest.raises(DestinationRefused):
                await outbound.session.get(named)
        assert reached == []
        # the same name where an operator has configured it
        async with (
            Outbound(allowed=[named], resolver=Changing(["127.0.0.1"])) as outbound,
            outbound.session.get(named) as response,
        ):
            assert response.status == 200


async def test_an_allowed_origin_is_reached_and_its_redirect_elsewhere_is_not() -> None:
    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/secret")

    app = web.Application()
    app.router.add_get("/", redirect)
    async with served(app) as url, Outbound(allowed=[url]) as outbound:
        with pytest.raises(DestinationRefused):
            await outbound.session.get(url)
