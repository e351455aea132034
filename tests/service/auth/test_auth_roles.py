"""Roles of real tokens decide what is seen of collections that ask for one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from free_ports import free_port
from oidc_server import Provider, provider_at

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import AccessRule, CatalogueSettings, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import AuthSettings, IssuerSettings, ServerSettings, Settings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

RULES = (
    AccessRule(collections=("EO.ECMWF.DAT.DT_*",), role="DPAD_Direct_Access"),
    AccessRule(collections=("EO.PARTNER.*",), role="partner", without="metadata"),
)
NAMES = ("EO.CLMS.DAT.CORINE", "EO.ECMWF.DAT.DT_CLIMATE", "EO.PARTNER.DAT.X")


def collection(name: str) -> dict[str, Any]:
    return {
        "type": "Collection", "stac_version": "1.0.0", "id": name, "description": name, "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}, "links": [],
    }  # fmt: skip


def item(name: str) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i-{name}", "collection": name, "geometry": None,
        "properties": {"datetime": "2024-01-01T00:00:00Z"}, "links": [],
        "assets": {"data": {"href": f"https://data.example/{name}.grib"}},
    }  # fmt: skip


class Gate:
    """A gateway that believes a provider, and the provider."""

    def __init__(self, url: str, provider: Provider) -> None:
        self.url = url
        self.provider = provider

    async def seen(self, token: str | None) -> dict[str, str]:
        """Return the data's addresses of what a search gives, by collection."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.url + "/search", json={"limit": 50}) as response,
        ):
            page = await response.json(content_type=None)
            assert response.status == 200, page
        return {one["collection"]: one["assets"]["data"]["href"] for one in page["features"]}

    async def own_token(self, token: str) -> str:
        """Let a user make a token of their own."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.url + "/auth/tokens", json={"expires_in": 600, "scopes": ["read"]}) as response,
        ):
            assert response.status == 201
            return str((await response.json())["token"])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gate(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    folder = tmp_path_factory.mktemp("roles")
    port, own = free_port(), free_port()
    async with (
        provider_at(port, modules, f"http://127.0.0.1:{own}") as provider,
        SqliteCatalogue(folder / "site.db", readers=2) as catalogue,
        serving(catalogue, SiteServerSettings(shutdown_seconds=1.0)) as site,
    ):
        for name in NAMES:
            await catalogue.put_collection(collection(name))
            await catalogue.put_items(name, [item(name)])
        issuer = IssuerSettings(name="real", issuer=provider.url, audiences=("urn:lakegate",), group_prefix="root")
        settings = Settings(
            server=ServerSettings(port=own, state=str(folder / "state")),
            auth=AuthSettings(issuers=(issuer,)),
            sites=(SiteSettings(id="dt", kind="hub", catalogue=CatalogueSettings(url=site), access=RULES),),
        )
        async with running_gateway(settings) as url:
            yield Gate(url, provider)


async def test_who_has_the_role_sees_and_who_lacks_one_sees_what_policy_says(gate: Gate) -> None:
    withheld = f"{gate.url}/data/dt/EO.PARTNER.DAT.X/i-EO.PARTNER.DAT.X/data"
    everybody = {"EO.CLMS.DAT.CORINE": "https://data.example/EO.CLMS.DAT.CORINE.grib", "EO.PARTNER.DAT.X": withheld}
    assert await gate.seen(None) == everybody
    assert await gate.seen(await gate.provider.client_credentials()) == everybody  # a robot without roles
    alice = await gate.provider.password("alice")
    climate = {"EO.ECMWF.DAT.DT_CLIMATE": "https://data.example/EO.ECMWF.DAT.DT_CLIMATE.grib"}
    assert await gate.seen(alice) == everybody | climate


async def test_a_token_of_ones_own_has_the_roles_of_who_made_it(gate: Gate) -> None:
    own = await gate.own_token(await gate.provider.password("bob"))
    assert "EO.ECMWF.DAT.DT_CLIMATE" in await gate.seen(own)


async def test_a_download_is_refused_by_naming_the_role(gate: Gate) -> None:
    headers = {"Authorization": f"Bearer {await gate.provider.password('alice')}"}
    place = "/data/dt/EO.PARTNER.DAT.X/i-EO.PARTNER.DAT.X/data"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(gate.url + place) as response:
        assert response.status == 403
        assert "'partner'" in (await response.json(content_type=None))["detail"]
