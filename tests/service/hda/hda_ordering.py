"""A site that stages what is ordered, behind a gateway, and what the items of orders say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from free_ports import free_port
from hda_lake import BOBS_TOKEN, Client, gateway_over
from order_provider import ERA5, SECRET, OrderProvider, order_provider

from edges.settings import CatalogueSettings, OrderSettings, Secret, SiteSettings
from gateway.settings import HdaSettings

ASKED = {"ecmwf:variable": {"eq": ["t2m", "sst"]}, "ecmwf:year": {"eq": ["2020"]}, "ecmwf:data_format": {"eq": "grib"}}

BOB = {"Authorization": f"Bearer {BOBS_TOKEN}"}

ORDER = f"/stac/v2/collections/{ERA5}/order"


def ordering_site(provider: OrderProvider, folder: Path) -> SiteSettings:
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "secret"
    secret.write_text(SECRET)
    return SiteSettings(
        id="cds",
        kind="hub",
        catalogue=CatalogueSettings(url=f"{provider.url}/stac", token=Secret(file=str(secret))),
        orders=OrderSettings(timeout_seconds=10.0),
    )


@asynccontextmanager
async def ordering(folder: Path, **groups: Any) -> AsyncIterator[tuple[OrderProvider, Client]]:
    async with (
        order_provider(free_port()) as provider,
        gateway_over(
            [ordering_site(provider, folder)], folder / "state", hda=HdaSettings(backends={"cop_cds": "cds"}), **groups
        ) as client,
    ):
        yield provider, client


async def orderable(client: Client) -> Any:
    status, page = await client.post({"collections": [ERA5], "query": ASKED})
    assert status == 200, page
    (found,) = page["features"]
    return found


async def item(client: Client, name: str, **options: Any) -> Any:
    async with client.session.get(f"{client.url}/stac/v2/collections/{ERA5}/items/{name}", **options) as response:
        return await response.json(content_type=None)


def link_of(found: Any, rel: str) -> Any:
    return next(link for link in found["links"] if link["rel"] == rel)
