"""Data of a provider that EODAG knows: its plug-ins sign in, the bytes come with ranges as from any site."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from data_scene import Lake, Origin, lake_of, scene, secret

from edges.settings import CatalogueSettings, DownloadSettings, EodagSettings, SiteSettings
from gateway.data.hrefs import data_path

pytestmark = [
    pytest.mark.service,
    pytest.mark.filterwarnings("ignore:Call to deprecated eodag function:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]

BODY = random.Random(5).randbytes(700_001)


def path_of(asset: str = "B01") -> str:
    return data_path(site="provider", collection="S2_MSI_L2A", item="one", asset=asset)


def definition(url: str, auth: dict[str, Any]) -> dict[str, Any]:
    return {
        "search": {
            "type": "StacSearch",
            "api_endpoint": f"{url}/search",
            "need_auth": False,
            "pagination": {"max_limit": 100},
            "sort": {"sort_param_mapping": {"start_datetime": "properties.datetime"}},
        },
        "products": {"S2_MSI_L2A": {"_collection": "scenes"}},
        "download": {"type": "HTTPDownload"},
        "auth": auth,
    }


class Guarded:
    """An origin that gives its files only to who has a token, and the tokens to who knows the password."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.tokens = 0
        self.refuse = False
        origin.files |= {"B01.tif": BODY, "B02.tif": BODY}
        origin.answers |= {"B01.tif": self.file, "B02.tif": self.file, "token": self.token}

    async def file(self, request: web.Request, body: bytes) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer token-{self.tokens}":
            return web.Response(status=401)
        return self.origin.whole_or_part(request, body)

    async def token(self, request: web.Request, _: bytes) -> web.Response:
        form = await request.post()
        if self.refuse or form.get("password") != "letmein":
            return web.Response(status=401, text="wrong")
        self.tokens += 1
        return web.json_response({"access_token": f"token-{self.tokens}"})


@pytest.fixture
def guarded(origin: Origin) -> Guarded:
    return Guarded(origin)


@pytest.fixture
async def lake(tmp_path: Path, guarded: Guarded) -> AsyncIterator[Lake]:
    origin = guarded.origin

    def hub(url: str) -> SiteSettings:
        auth = {
            "type": "TokenAuth",
            "auth_uri": f"{origin.url}/token",
            "token_type": "json",
            "token_key": "access_token",
        }
        eodag = EodagSettings(
            provider="local",
            definition=definition(url, auth),
            collections=("S2_MSI_L2A",),
            credentials={"username": secret("USER", "lake"), "password": secret("PASSWORD", "letmein")},
        )
        return SiteSettings(
            id="provider",
            kind="hub",
            catalogue=CatalogueSettings(eodag=eodag),
            asset_origins=(origin.url, origin.url.replace("127.0.0.1", "localhost")),
            downloads=DownloadSettings(give="redirect"),
        )

    elsewhere = f"{origin.url.replace('127.0.0.1', 'localhost')}/B02.tif"
    items = {
        "stac": [scene("one", {"B01": f"{origin.url}/B01.tif", "folder": "s3://bucket/folder/", "B02": elsewhere})]
    }
    async with lake_of(tmp_path, items, hub=hub) as running:
        yield running


async def test_the_provider_is_asked_with_what_its_plugin_signs_in_with(lake: Lake, guarded: Guarded) -> None:
    status, body, headers = await lake.body(path_of())
    assert (status, body) == (200, BODY), body[:500]
    assert headers["ETag"] == Origin.etag(BODY)
    asked = {"Range": "bytes=-100", "If-Range": headers["ETag"]}
    status, body, _ = await lake.body(path_of(), headers=asked)
    assert (status, body) == (206, BODY[-100:])
    status, _, headers = await lake.body(path_of(), method="HEAD")
    assert (status, headers["Content-Length"]) == (200, str(len(BODY)))
    assert guarded.tokens == 1


async def test_what_the_plugin_cannot_sign_is_said_so(lake: Lake) -> None:
    assert (await lake.body(path_of("folder")))[0] == 404


async def test_what_signs_in_at_the_provider_is_shown_to_nobody_else(lake: Lake, guarded: Guarded) -> None:
    status, _, _ = await lake.body(path_of("B02"))
    assert status == 502
    asked = [headers for method, path, headers in guarded.origin.requests if path == "B02.tif"]
    assert asked
    assert not any("authorization" in headers for headers in asked)


async def test_a_provider_that_refuses_us_is_told_without_its_words(lake: Lake, guarded: Guarded) -> None:
    guarded.refuse = True
    status, body, _ = await lake.body(path_of())
    assert (status, b"refused our credentials" in body, b"letmein" in body) == (503, True, False)
