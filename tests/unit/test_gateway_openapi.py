"""What the OpenAPI document says is what is served."""

import asyncio
import re
import socket
from pathlib import Path

import aiohttp
import pytest

from gateway.app import running_gateway
from gateway.settings import ServerSettings, Settings
from gateway.stac.openapi import openapi_document, openapi_page

DOCUMENT = openapi_document("http://gate.example")
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_every_operation_that_is_described_is_served(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(port=free_port(), state=str(tmp_path / "state")))
    missing = []
    async with running_gateway(settings) as url, aiohttp.ClientSession() as session:
        for path, method in OPERATIONS:
            async with session.request(method, url + re.sub(r"{\w+}", "x", path), json={}) as response:
                # a route that is there refuses in its own words; one that is not, in the framework's
                text = await response.text()
                if response.status == 405 or '"404: Not Found"' in text:
                    missing.append((method, path, response.status))
    assert not missing


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_path_parameter_is_described(path: str, method: str) -> None:
    described = {each["name"] for each in DOCUMENT["paths"][path][method]["parameters"] if each["in"] == "path"}
    assert described == set(re.findall(r"{(\w+)}", path))


def test_the_page_for_people_names_every_path() -> None:
    page = openapi_page(DOCUMENT)
    assert all(path in page for path in DOCUMENT["paths"])


async def test_a_gateway_without_sites_answers_an_empty_page(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(port=free_port(), state=str(tmp_path / "state")))
    async with (
        asyncio.timeout(20),
        running_gateway(settings) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/search") as response,
    ):
        assert response.status == 200
        assert (await response.json())["features"] == []
