"""A gateway with a real provider of identity, over a site with products and one that stages."""

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from free_ports import free_port
from hda_lake import OLCI, collection, hub, item, settings_over, site_of
from hda_ordering import ordering_site
from login_realm import LoginRealm, login_realm
from oidc_server import installed_modules, provider_at
from order_provider import OrderProvider, order_provider
from served_app import served

from gateway.app import running_gateway
from gateway.settings import AuthSettings, IssuerSettings


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
