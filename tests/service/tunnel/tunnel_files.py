"""An edge behind a tunnel whose files lie at an address that only it knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from s3_bucket import ACCESS, SECRET
from served_app import served
from tunnel_scene import SECRET as TUNNEL_SECRET

from edges.settings import (
    CatalogueSettings,
    DownloadSettings,
    Secret,
    SiteSettings,
    StorageSettings,
    TunnelSettings,
)

FILES = "http://files.edge-t.invalid:8080"

CONTENT = bytes(range(256)) * 4


@asynccontextmanager
async def files() -> AsyncIterator[int]:
    """Serve the edge's files; yield the port."""

    async def file(request: web.Request) -> web.Response:
        whole = request.raw_path == "/in/B%2001.tif?version=1"
        return web.Response(body=CONTENT, headers={"ETag": '"v1"'}) if whole else web.Response(status=404)

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", file)])
    async with served(app) as url:
        yield int(url.rpartition(":")[2])


def secret(folder: Path, name: str, text: str) -> Secret:
    (folder / name).write_text(text)
    return Secret(file=str(folder / name))


def behind(folder: Path, ports: dict[str, int], **downloads: Any) -> SiteSettings:
    storage = StorageSettings(
        endpoint=f"http://127.0.0.1:{ports['store']}",
        bucket="data",
        access_key=secret(folder, "access", ACCESS),
        secret_key=secret(folder, "secret", SECRET),
    )
    tunnel = TunnelSettings(secret=secret(folder, "tunnel", TUNNEL_SECRET), ports=ports, addresses={"files": FILES})
    return SiteSettings(
        id="edge-t",
        kind="edge",
        catalogue=CatalogueSettings(url=f"http://127.0.0.1:{ports['catalogue']}"),
        storage=storage,
        tunnel=tunnel,
        downloads=DownloadSettings(**downloads),
    )
