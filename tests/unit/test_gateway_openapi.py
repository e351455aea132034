"""What the OpenAPI document says is what is served, and all of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from free_ports import free_port
from openapi_spec_validator import validate

from edges.model import Json
from edges.site.openapi import openapi_document as document_of_a_site
from edges.stac.openapi_page import openapi_page
from gateway.app import running_gateway
from gateway.settings import ServerSettings, Settings
from gateway.stac.openapi import openapi_document

DOCUMENT = openapi_document("http://gate.example")
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[str]:
    settings = Settings(server=ServerSettings(port=free_port(), state=str(folder / "state")))
    async with running_gateway(settings) as url:
        yield url


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


async def test_every_route_that_is_served_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runners: list[web.AppRunner] = []

    class Seen(web.AppRunner):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            runners.append(self)

    monkeypatch.setattr(web, "AppRunner", Seen)
    async with gateway(tmp_path):
        served = {
            (route.resource.canonical, route.method.lower())
            for runner in runners
            for route in runner.app.router.routes()
            if route.resource is not None and route.method not in ("HEAD", "OPTIONS")
        }
    assert ("/search", "post") in served
    assert served - set(OPERATIONS) == set()


async def test_every_operation_that_is_described_is_served(tmp_path: Path) -> None:
    missing = []
    async with gateway(tmp_path) as url, aiohttp.ClientSession() as session:
        for path, method in OPERATIONS:
            names = {"{act}": "resume", "{order}": "1", "{product}": "1"}
            if path.startswith("/odata/v1/tmp-storage/"):
                names["{name}"] = "20260101_1_abcdefgh.zip"
            for name, example in names.items():
                path = path.replace(name, example)  # noqa: PLW2901 - step by step
            address = url + re.sub(r"{\w+}", "x", path)
            async with session.request(method, address, json={}, allow_redirects=False) as response:
                # a route that is there refuses in its own words; one that is not, in the framework's
                text = await response.text()
                if response.status == 405 or '"404: Not Found"' in text:
                    missing.append((method, path, response.status))
    assert not missing


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_path_parameter_is_described(path: str, method: str) -> None:
    described = {each["name"] for each in DOCUMENT["paths"][path][method]["parameters"] if each["in"] == "path"}
    assert described == set(re.findall(r"{(\w+)}", path))


def test_no_two_operations_have_one_name() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


OF_A_SITE = document_of_a_site("https://site.example", "Ice & <sea>", writable=True, counts=True)


@pytest.mark.parametrize("document", [DOCUMENT, OF_A_SITE], ids=["gateway", "site"])
def test_the_page_for_people_names_every_path(document: Json) -> None:
    page = openapi_page(document)
    assert all(path in page for path in document["paths"])


def test_the_title_of_a_site_is_text_on_the_page() -> None:
    assert "<h1>Ice &amp; &lt;sea&gt; API</h1>" in openapi_page(OF_A_SITE)


async def test_a_gateway_without_sites_answers_an_empty_page(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(20),
        gateway(tmp_path) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/search") as response,
    ):
        assert response.status == 200
        assert (await response.json())["features"] == []
