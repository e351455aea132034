"""Server-side request forgery: what we refuse to call, by literal, by name and by redirect."""

import aiohttp
import pytest
from aiohttp import web

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
    Outbound(allowed=[]).check("https://93.184.216.34/x")


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    async with Outbound(allowed=[]) as outbound:
        with pytest.raises(DestinationRefused, match="private"):
            await outbound.session.get("http://localhost:9/")


async def test_an_allowed_origin_is_reached_and_its_redirect_elsewhere_is_not() -> None:
    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/secret")

    app = web.Application()
    app.router.add_get("/", redirect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with Outbound(allowed=[url]) as outbound:
            with pytest.raises(DestinationRefused):
                await outbound.session.get(url)
    finally:
        await runner.cleanup()
