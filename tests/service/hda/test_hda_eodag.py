"""EODAG with its own provider ``dedl``: only its addresses and credentials are overridden."""

import asyncio
import io
import json
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from free_ports import free_port
from hda_lake import OLCI, collection, hub, item, settings_over, site_of
from login_realm import LoginRealm, login_realm
from oidc_server import installed_modules, provider_at
from order_provider import CONTENT, ERA5, OrderProvider, order_provider
from served_app import served
from test_hda_orders import ordering_site

from gateway.app import running_gateway
from gateway.settings import AuthSettings, IssuerSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

SESSION = Path(__file__).with_name("eodag_session.py")


def archive(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(f"{name}.SEN3/xfdumanifest.xml", f"<manifest>{name}</manifest>")
    return content.getvalue()


@asynccontextmanager
async def files(port: int) -> AsyncIterator[str]:
    """Serve an archive for every name, as a provider does."""

    async def give(request: web.Request) -> web.Response:
        return web.Response(body=archive(request.match_info["name"]), content_type="application/zip")

    app = web.Application()
    app.add_routes([web.get("/{name}.zip", give)])
    async with served(app, port=port):
        yield f"http://127.0.0.1:{port}"


def contents(path: str) -> list[bytes]:
    """Return what stands in a file, or in the files of a folder."""
    place = Path(path)
    return [each.read_bytes() for each in ([place] if place.is_file() else place.rglob("*")) if each.is_file()]


class Scene:
    """A gateway that believes a real provider of identity, over a site with products and one that stages."""

    def __init__(self, url: str, realm: LoginRealm, provider: OrderProvider) -> None:
        self.url = url
        self.realm = realm
        self.provider = provider


def product(name: str, day: int, files: str) -> dict[str, Any]:
    assets = {
        "product": {"href": f"{files}/{name}.zip", "type": "application/zip", "roles": ["data"]},
        "quick-look.png": {"href": f"{files}/{name}.zip", "type": "image/png", "roles": ["overview"]},
    }
    assets |= {f"Oa{n:02}_radiance.nc": {"href": f"{files}/{name}.zip", "roles": ["data"]} for n in range(1, 41)}
    return item(name, OLCI, day=day, assets=assets)


@asynccontextmanager
async def scene_in(folder: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        modules = installed_modules()
        oidc_port, own = free_port(), free_port()
        oidc = await stack.enter_async_context(provider_at(oidc_port, modules, f"http://127.0.0.1:{own}"))
        realm = await stack.enter_async_context(login_realm(oidc.url, free_port()))
        provider = await stack.enter_async_context(order_provider(free_port()))
        origin = await stack.enter_async_context(files(free_port()))
        items = [product(f"S3A_{day:02}", day, origin) for day in range(1, 26)]
        site = await stack.enter_async_context(
            site_of(items, folder / "west.db", described={OLCI: collection(OLCI, title="OLCI Level 2 Water")})
        )
        west = msgspec.structs.replace(hub("west", site), asset_origins=(origin,))
        issuer = IssuerSettings(name="real", issuer=oidc.url, audiences=("urn:lakegate",), group_prefix="root")
        settings = settings_over(
            [west, ordering_site(provider, folder)],
            folder / "state",
            auth=AuthSettings(anonymous="none", issuers=(issuer,)),
        )
        yield Scene(await stack.enter_async_context(running_gateway(settings)), realm, provider)


def environment_of(scene: Scene, folder: Path) -> dict[str, str]:
    """Return what a user of EODAG sets: addresses and credentials, and nothing else of the provider."""
    (folder / "collections.json").write_text("{}")
    desp = f"{scene.realm.url}/realms/desp"
    own = {
        "SEARCH__API_ENDPOINT": f"{scene.url}/stac/v2/search",
        "SEARCH__DISCOVER_COLLECTIONS__FETCH_URL": f"{scene.url}/stac/v2/collections",
        "AUTH__SUBJECT__OIDC_CONFIG_URL": f"{desp}/.well-known/openid-configuration",
        "AUTH__SUBJECT__REDIRECT_URI": f"{scene.url}/stac/v2",
        "AUTH__TOKEN_URI": f"{scene.realm.url}/auth/realms/dedl/protocol/openid-connect/token",
        "AUTH__MATCHING_URL": "http://127.0.0.1:.*",
        "AUTH__CREDENTIALS__USERNAME": "alice",
        "AUTH__CREDENTIALS__PASSWORD": "alice-password",
        "PRIORITY": "10",
        "DOWNLOAD__OUTPUT_DIR": str(folder / "downloads"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EODAG")}
    return (
        kept
        | {f"EODAG__DEDL__{name}": value for name, value in own.items()}
        | {
            "HOME": str(folder),
            "EODAG_CFG_DIR": str(folder / "eodag"),
            "EODAG_PROVIDERS_WHITELIST": '["dedl"]',
            "EODAG_EXT_COLLECTIONS_CFG_URI": str(folder / "collections.json"),
        }
    )


async def test_eodag_lists_searches_pages_orders_and_downloads(tmp_path: Path) -> None:
    async with scene_in(tmp_path) as scene:
        scene.provider.done_after = 3
        (tmp_path / "downloads").mkdir()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SESSION),
            env=environment_of(scene, tmp_path),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(240):
            output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()[-4000:]
        told = json.loads(output.splitlines()[-1])
        assert {"S3_OLCI_L2WRR", "ERA5_SL"} <= set(told["collections"])
        assert told["discovered"] == [ERA5, OLCI]
        assert told["first"] == [f"S3A_{day:02}" for day in range(25, 15, -1)]
        assert told["status"] == "succeeded"
        assert told["all"] == [f"S3A_{day:02}" for day in range(25, 0, -1)]
        assert told["one"] == "S3A_05"
        assert b"<manifest>S3A_05</manifest>" in contents(told["path"])
        assert {"ecmwf_variable", "ecmwf_year", "ecmwf_month"} <= set(told["queryables"])
        assert told["orderable"][1] == "orderable"
        assert contents(told["ordered path"]) == [CONTENT]
        assert len(scene.provider.placed) == 1
        assert scene.realm.exchanges > 0
