"""A whole gateway over edges that hold items and compute, with what tests need to look behind it."""

import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from compute_edges import RealDaskEdge

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import CatalogueSettings, DaskSettings, Secret, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import (
    ApiTokenSettings,
    AuthSettings,
    ComputeSettings,
    LimitSettings,
    QuotaSettings,
    ServerSettings,
    Settings,
)
from quotas.model import Policy

USER, TOKEN = "alice", "token-of-alice"
COLLECTION = "scenes"
WRITE_TOKEN = "w" * 20
CLUSTERS = Policy(name="clusters", group="eo", resource="clusters", kind="concurrent", amount=4)


def scene(number: int, site: str, assets: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of a site, with its own address of the data."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": str(number),
        "collection": COLLECTION,
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
        "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": f"2026-01-{number + 1:02}T00:00:00Z"},
        "assets": {"x": {"href": f"s3://{site}/{number}", "file:size": 1_000}, **assets},
        "links": [],
    }


@asynccontextmanager
async def whole_lake(
    edges: Mapping[str, RealDaskEdge],
    held: Mapping[str, Iterable[int]],
    state: Path,
    *,
    assets: Mapping[str, Any] | None = None,
    changed: Callable[[Settings], Settings] = lambda settings: settings,
) -> AsyncIterator[str]:
    """Run the gateway; each edge holds the scenes of these numbers, with these assets more. Gives its address."""
    secret = written(state / "alice", TOKEN)
    async with AsyncExitStack() as stack:
        sites = []
        for name, edge in edges.items():
            url = await stack.enter_async_context(stocked(name, held[name], state / f"{name}.db", assets or {}))
            dask = DaskSettings(url=edge.url, secret=Secret(file=str(edge.folder / "secret")), timeout_seconds=10)
            sites.append(SiteSettings(id=name, kind="edge", catalogue=CatalogueSettings(url=url), dask=dask))
        token = ApiTokenSettings(user=USER, token=Secret(file=str(secret)), groups=("eo",))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = Settings(
            sites=tuple(sites),
            server=ServerSettings(port=port, state=str(state / "gateway"), shutdown_seconds=1.0),
            auth=AuthSettings(tokens=(token,)),
            quotas=QuotaSettings(policies=(CLUSTERS,)),
            compute=ComputeSettings(reconcile_seconds=0.3),
            limits=LimitSettings(probe_seconds=1.0),
        )
        yield await stack.enter_async_context(running_gateway(changed(settings)))


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@asynccontextmanager
async def stocked(site: str, numbers: Iterable[int], file: Path, assets: Mapping[str, Any]) -> AsyncIterator[str]:
    """Run the catalogue of a site that holds the scenes of these numbers, and can be written to; give its address."""
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    described = {"type": "Collection", "stac_version": "1.0.0", "id": COLLECTION, "description": COLLECTION}
    async with SqliteCatalogue(file, readers=2) as catalogue:
        await catalogue.put_collection({**described, "license": "other", "extent": extent, "links": []})
        await catalogue.put_items(COLLECTION, [scene(number, site, assets) for number in numbers])
        async with serving(catalogue, SiteServerSettings(write_token=WRITE_TOKEN, shutdown_seconds=1.0)) as url:
            yield url
