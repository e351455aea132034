"""What the benchmark of downloads runs: a gateway over files of nginx, and nginx as a proxy of the same."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.federation.processes import Program, free_port, running
from benchmarks.harvest.servers import BUCKET, nginx_program
from edges.catalogues.memory import MemoryCatalogue
from edges.model import Json
from edges.settings import CatalogueSettings, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.data.hrefs import data_path
from gateway.settings import DataSettings, ServerSettings, Settings

COLLECTION = "files"


def path_of(name: str) -> str:
    """Return the path of a file at the gateway."""
    return data_path(site="hub", collection=COLLECTION, item="one", asset=name)


async def gateway(told: Connection, upstream: int) -> None:
    """Serve the files of ``large`` and ``small`` from the nginx at a port."""
    origin = f"http://127.0.0.1:{upstream}"
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        catalogue = MemoryCatalogue(
            collections=[{"id": COLLECTION, "type": "Collection", "description": "", "license": "other", "links": []}]
        )
        assets = {name: {"href": f"{origin}/{BUCKET}/{name}"} for name in ("large", "small")}
        item: Json = {
            "type": "Feature", "stac_version": "1.0.0", "id": "one", "collection": COLLECTION, "geometry": None,
            "properties": {"datetime": "2024-01-01T00:00:00Z"}, "links": [], "assets": assets,
        }  # fmt: skip
        await catalogue.put_items(COLLECTION, [item])
        url = await stack.enter_async_context(serving(catalogue, SiteServerSettings()))
        settings = Settings(
            sites=(SiteSettings(id="hub", kind="hub", catalogue=CatalogueSettings(url=url), asset_origins=(origin,)),),
            server=ServerSettings(port=free_port(), state=str(folder)),
            data=DataSettings(anonymous=True, per_user=10_000),
        )
        await stack.enter_async_context(running_gateway(settings))
        told.send(settings.server.port)
        await asyncio.Event().wait()


@contextmanager
def nginx_proxy(folder: Path, upstream: str) -> Iterator[Program]:
    """Pass everything on to another server, without keeping it on a disk.

    Raises:
        PeerMissing: nginx is not installed.
    """
    home = folder / "nginx-proxy"
    home.mkdir(parents=True)
    port = free_port()
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"user root; daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{ }}\nhttp {{ access_log off; {temporary}\n"
        f"upstream source {{ server {upstream.removeprefix('http://')}; keepalive 64; }}\n"
        f"server {{ listen 127.0.0.1:{port}; location = /alive {{ return 204; }}\n"
        'location / { proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection "";\n'
        "proxy_max_temp_file_size 0; } } }\n"
    )
    command = [nginx_program(), "-c", str(home / "nginx.conf"), "-p", str(home), "-e", str(home / "error.log")]
    with running(command, url=f"http://127.0.0.1:{port}", ready="/alive", log=home / "log") as server:
        yield server
