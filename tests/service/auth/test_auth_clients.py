"""Unmodified clients, each with a token of a real identity provider, and with one of ours, sent its own way."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pystac_client
import pytest
import pytest_asyncio
from conftest import issuer_settings
from dask_gateway import Gateway
from dask_gateway.auth import BasicAuth, JupyterHubAuth
from eodag import EODataAccessGateway
from free_ports import free_port
from jupyter_server.gateway.gateway_client import GatewayClient, gateway_request
from oidc_server import provider_at

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import CatalogueSettings, Secret, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, LimitSettings, ServerSettings, Settings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

OURS = "lg_token-of-carol"
COLLECTION = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "id": "c",
    "description": "c",
    "license": "other",
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    "links": [],
}
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "i",
    "collection": "c",
    "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
    "bbox": [1.0, 2.0, 1.0, 2.0],
    "properties": {"datetime": "2024-01-01T00:00:00Z"},
    "assets": {"data": {"href": "https://data.example/i.tif"}},
    "links": [],
}


class House:
    """A gateway that lets nobody in without a token, and a token of each kind."""

    def __init__(self, url: str, tokens: dict[str, str]) -> None:
        self.url = url
        self.tokens = tokens


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[str]:
    async with SqliteCatalogue(folder / "site.db", readers=1) as catalogue:
        await catalogue.put_collection(COLLECTION)
        await catalogue.put_items("c", [ITEM])
        async with serving(catalogue, SiteServerSettings(shutdown_seconds=1.0)) as url:
            yield url


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def house(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "carol").write_text(OURS)
    port, own = free_port(), free_port()
    carol = ApiTokenSettings(user="carol", token=Secret(file=str(folder / "carol")), groups=("root/eo",))
    issuer = issuer_settings(f"http://127.0.0.1:{port}")
    async with site(folder) as site_url, provider_at(port, modules, "http://127.0.0.1:1") as provider:
        settings = Settings(
            sites=(SiteSettings(id="hub", kind="hub", catalogue=CatalogueSettings(url=site_url)),),
            server=ServerSettings(port=own, state=str(folder / "state")),
            auth=AuthSettings(anonymous="none", tokens=(carol,), issuers=(issuer,)),
            limits=LimitSettings(probe_seconds=3600.0),
        )
        async with running_gateway(settings) as url:
            yield House(url, {"alice": await provider.password("alice"), "carol": OURS})


@pytest.fixture(params=["alice", "carol"])
def token(house: House, request: pytest.FixtureRequest) -> str:
    """Return a signed token of the provider, then one of ours."""
    return house.tokens[request.param]


async def test_without_a_token_nobody_comes_in(house):
    async with aiohttp.ClientSession() as session:
        for path in ("/search", "/api/v1/clusters/", "/api/kernels", "/quotas/me", "/collections"):
            async with session.get(house.url + path) as response:
                assert response.status == 401, path


async def test_pystac_client_searches_with_a_bearer_token(house, token):
    def found():
        client = pystac_client.Client.open(house.url, headers={"Authorization": f"Bearer {token}"})
        return [item.id for item in client.search(collections=["c"]).items()]

    assert await asyncio.to_thread(found) == ["i"]


@pytest.mark.parametrize("header", ["Authorization: Bearer {apikey}", "X-API-Key: {apikey}"])
async def test_eodag_searches_with_its_header_authentication(house, token, header):
    name, _, value = header.partition(": ")
    provider = {
        "name": "lakegate",
        "search": {"type": "StacSearch", "api_endpoint": f"{house.url}/search", "need_auth": True},
        "products": {"GENERIC_COLLECTION": {"_collection": "{collection}"}},
        "auth": {"type": "HTTPHeaderAuth", "headers": {name: value}, "credentials": {"apikey": token}},
    }
    assert await asyncio.to_thread(found_by_eodag, provider) == ["i"]


async def test_eodag_searches_with_basic_authentication(house, token):
    provider = {
        "name": "lakegate",
        "search": {"type": "StacSearch", "api_endpoint": f"{house.url}/search", "need_auth": True},
        "products": {"GENERIC_COLLECTION": {"_collection": "{collection}"}},
        "auth": {"type": "GenericAuth", "method": "basic", "credentials": {"username": "any", "password": token}},
    }
    assert await asyncio.to_thread(found_by_eodag, provider) == ["i"]


def found_by_eodag(provider):
    search, auth = provider["search"], provider["auth"]
    gateway = EODataAccessGateway()
    gateway.add_provider(
        provider["name"], search["api_endpoint"], search=search, products=provider["products"], auth=auth
    )
    gateway.set_preferred_provider(provider["name"])
    return [
        product.properties["id"] for product in gateway.search(collection="c", provider="lakegate", raise_errors=True)
    ]


async def test_dask_gateway_lists_its_clusters_with_basic_authentication(house, token):
    auth = BasicAuth(username="whoever", password=token)
    async with Gateway(house.url, auth=auth, asynchronous=True) as gateway:
        assert await gateway.list_clusters() == []


async def test_dask_gateway_lists_its_clusters_as_on_a_jupyterhub(house, token):
    async with Gateway(house.url, auth=JupyterHubAuth(api_token=token), asynchronous=True) as gateway:
        assert await gateway.list_clusters() == []
    async with Gateway(house.url, auth=JupyterHubAuth(api_token="made-up"), asynchronous=True) as gateway:
        with pytest.raises(Exception, match=r"401|nauthorized|credentials"):
            await gateway.list_clusters()


async def test_jupyter_lists_its_kernelspecs_with_its_token(house, token, monkeypatch):
    monkeypatch.setitem(os.environ, "JUPYTER_GATEWAY_URL", house.url)
    monkeypatch.setitem(os.environ, "JUPYTER_GATEWAY_AUTH_TOKEN", token)
    GatewayClient.clear_instance()
    try:
        GatewayClient.instance()
        response = await gateway_request(f"{house.url}/api/kernelspecs", method="GET")
        assert response.code == 200
        assert b"kernelspecs" in response.body
    finally:
        GatewayClient.clear_instance()
