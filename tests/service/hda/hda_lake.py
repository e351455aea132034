"""Real sites and a real gateway on loopback, as clients of HDA see them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from free_ports import free_port
from plain_client import PlainClient

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import CatalogueSettings, Secret, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import (
    ApiTokenSettings,
    AuthSettings,
    HdaSettings,
    LimitSettings,
    ServerSettings,
    Settings,
)

TOKEN = "token-of-alice"
BOBS_TOKEN = "token-of-bob"
USERS = (("alice", TOKEN), ("bob", BOBS_TOKEN))
OLCI = "EO.EUM.DAT.SENTINEL-3.OL_2_WRR___"
S2 = "EO.ESA.DAT.SENTINEL-2.MSI.L2A"


def collection(name: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "title": f"Title of {name}",
        "description": f"All of {name}.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2016-01-01T00:00:00Z", None]]},
        },
        "links": [],
        **members,
    }


def item(item_id: str, collection: str, *, day: int = 1, assets: Any = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [10.0 + day / 10, 45.0]},
        "bbox": [10.0 + day / 10, 45.0, 10.0 + day / 10, 45.0],
        "properties": {"datetime": f"2024-09-{day:02}T12:00:00Z", **properties},
        "assets": {
            "product": {"href": f"https://data.example/{item_id}.zip", "roles": ["data"]},
            "quicklook.jpg": {"href": f"https://data.example/{item_id}.jpg", "roles": ["thumbnail"]},
        }
        if assets is None
        else assets,
        "links": [],
    }


class Client(PlainClient):
    """A gateway, as a plain client sees it."""

    search = "/stac/v2/search"

    async def found(self, **body: Any) -> list[str]:
        """Return the ids on the first page of a search."""
        status, page = await self.post(body)
        assert status == 200, page
        return [each["id"] for each in page["features"]]


def settings_over(sites: Iterable[SiteSettings], state: Path, **groups: Any) -> Settings:
    """Return the settings of a gateway over sites; ``groups`` stand in place of ours."""
    state.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {
        "sites": tuple(sites),
        "server": ServerSettings(port=free_port(), state=str(state)),
        "auth": AuthSettings(anonymous="none", tokens=tuple(token_of(state, *each) for each in USERS)),
        "limits": LimitSettings(probe_seconds=3600.0, deadline_seconds=60.0),
        "hda": HdaSettings(),
    }
    return Settings(**given | groups)


def token_of(state: Path, user: str, secret: str) -> ApiTokenSettings:
    file = state / f"token-{user}"
    file.write_text(secret)
    return ApiTokenSettings(user=user, token=Secret(file=str(file)), groups=("root/eo",))


@asynccontextmanager
async def gateway_over(sites: Iterable[SiteSettings], state: Path, **groups: Any) -> AsyncIterator[Client]:
    """Run a gateway over sites; gives a client of alice."""
    async with (
        running_gateway(settings_over(sites, state, **groups)) as url,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        yield Client(url, session)


def hub(site: str, url: str, **catalogue: Any) -> SiteSettings:
    return SiteSettings(id=site, kind="hub", catalogue=CatalogueSettings(url=url, **catalogue))


@asynccontextmanager
async def site_of(items: Iterable[Any], db: Path, *, described: Mapping[str, Any] | None = None) -> AsyncIterator[str]:
    """Serve these items as a site; gives its URL."""
    async with SqliteCatalogue(db, readers=2) as catalogue:
        by_collection: dict[str, list[Any]] = {name: [] for name in described or {}}
        for each in items:
            by_collection.setdefault(each["collection"], []).append(each)
        for name, members in by_collection.items():
            await catalogue.put_collection(collection(name) | (described or {}).get(name, {}))
            if members:
                await catalogue.put_items(name, members)
        async with serving(catalogue, SiteServerSettings(shutdown_seconds=1.0)) as url:
            yield url
