"""A gateway over hubs that EODAG searches: merged, filtered, explained, and told of as any site is."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from eodag_hubs import ALL, NAMES, catalogue_of, data_space, stac_provider
from federated_lake import Client, gateway_over, hub, item, site_of
from odata_provider import odata_provider
from served_app import served

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.model import Query
from edges.settings import CatalogueSettings, EodagSettings, Secret, SiteSettings

pytestmark = [
    pytest.mark.service,
    pytest.mark.asyncio(loop_scope="session"),
    # the library's own search by id goes through a function that it has deprecated
    pytest.mark.filterwarnings("ignore:Call to deprecated eodag function:DeprecationWarning"),
    # and its calls by urllib leave refused connections to the collector
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def lake_with_hubs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Client, Path]]:
    """Return a gateway over a plain site and two hubs: one a STAC API, one OData."""
    folder = tmp_path_factory.mktemp("hubs")
    plain = [item(f"p{n}", "sentinel-2-l1c", day=n, **{"eo:cloud_cover": n}) for n in range(1, 6)]
    stac = [item(f"s{n}", "native", day=n, **{"eo:cloud_cover": n}) for n in range(1, 6)]
    async with (
        odata_provider(ALL) as provider,
        site_of(plain, folder / "plain.db") as one,
        site_of(stac, folder / "stac.db") as other,
    ):
        sites = [
            hub("plain", one),
            eodag_hub("stac", stac_provider(other, {"S2_MSI_L1C": "native"})),
            eodag_hub("space", data_space(provider.url, "S2_MSI_L1C")),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(folder / "home"))
            async with gateway_over(sites, folder / "state") as client:
                yield client, folder


def eodag_hub(name: str, settings: EodagSettings) -> SiteSettings:
    catalogue = CatalogueSettings(eodag=settings, profile="eodag", timeout_seconds=60.0)
    return SiteSettings(id=name, kind="hub", catalogue=catalogue)


@pytest.mark.parametrize("limit", [4, 50])
async def test_hubs_are_merged_like_any_other_site(lake_with_hubs: tuple[Client, Path], limit: int) -> None:
    client, _ = lake_with_hubs
    names = [name for _, name in await client.walk(collections=["sentinel-2-l1c"], limit=limit)]
    days = {name: int(name[-4:]) + 1 if name.startswith("S2A") else int(name[1:]) for name in names}
    assert sorted(names) == sorted([*NAMES, *(f"p{n}" for n in range(1, 6)), *(f"s{n}" for n in range(1, 6))])
    assert [days[name] for name in names] == sorted(days.values(), reverse=True)


async def test_a_filter_holds_at_hubs_too(lake_with_hubs: tuple[Client, Path]) -> None:
    client, _ = lake_with_hubs
    filter_ = {"op": "=", "args": [{"property": "order:status"}, "orderable"]}
    found = await client.walk(filter=filter_, limit=3)
    assert sorted(name for _, name in found) == [NAMES[n - 1] for n in (3, 6, 9, 12)]


async def test_what_a_hub_is_asked_for_is_explained(lake_with_hubs: tuple[Client, Path]) -> None:
    client, _ = lake_with_hubs
    status, told = await client.get("/search/explain", collections="sentinel-2-l1c", limit=3)
    assert status == 200
    asked = [request for request in told["requests"] if request["site"] == "space"]
    assert {(request["method"], request["path"]) for request in asked} == {("EODAG", "/S2_MSI_L1C")}
    assert asked[0]["outcome"] == "answered"
    assert asked[0]["parameters"]["sort_by"] == ["datetime", "desc"]
    assert told["sites"]["space"]["shared"] == 0


async def test_sites_tell_provider_and_profile(lake_with_hubs: tuple[Client, Path]) -> None:
    client, _ = lake_with_hubs
    _, told = await client.get("/sites/space")
    assert (told["kind"], told["provider"], told["profile"]) == ("hub", "cop_dataspace", "eodag")
    assert told["collections"] == ["sentinel-2-l1c"]
    _, told = await client.get("/sites/plain")
    assert (told["provider"], told["profile"]) == (None, None)


async def test_the_library_writes_below_the_state_folder_only(lake_with_hubs: tuple[Client, Path]) -> None:
    _, folder = lake_with_hubs
    assert (folder / "state" / "eodag" / "space" / "providers" / "cop_dataspace.yml").is_file()
    assert not (folder / "home").exists()


async def test_credentials_reach_the_provider_and_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_KEY", "sesame-sesame")
    seen: list[str | None] = []

    async def guarded(request: web.Request) -> web.Response:
        seen.append(request.headers.get("X-Key"))
        return web.json_response({"detail": "no"}, status=403)

    app = web.Application()
    app.router.add_post("/search", guarded)
    async with served(app) as url:
        settings = stac_provider(url, {"S2_MSI_L1C": "native"})
        search = {**settings.definition["search"], "need_auth": True}
        auth = {"type": "HTTPHeaderAuth", "matching_url": "http://127.0.0.1", "headers": {"X-Key": "{apikey}"}}
        settings = msgspec.structs.replace(
            settings,
            definition={**settings.definition, "search": search, "auth": auth},
            credentials={"apikey": Secret(env="HUB_KEY")},
        )
        catalogue = catalogue_of(settings, tmp_path, timeout_seconds=60.0)
        with pytest.raises((SiteUnavailable, SiteMisbehaved)) as caught:
            await catalogue.search(Query(collections=("S2_MSI_L1C",)), limit=5)
    assert seen == ["sesame-sesame"]
    assert "sesame" not in str(caught.value)


async def test_an_order_first_provider_tells_what_must_be_ordered(tmp_path: Path) -> None:
    """The library's own definition of the data lake, whose items come as they are kept: on disk or on tape."""
    kept = [
        item("on-tape", "EO.ESA.DAT.SENTINEL-2.MSI.L2A", day=1, **{"order:status": "orderable", "platform": "S2A"}),
        item("on-disk", "EO.ESA.DAT.SENTINEL-2.MSI.L2A", day=2, **{"order:status": "succeeded", "platform": "S2B"}),
        item("on-its-way", "EO.ESA.DAT.SENTINEL-2.MSI.L2A", day=3, **{"order:status": "shipping"}),
    ]
    async with site_of(kept, tmp_path / "lake.db") as url:
        search = {"api_endpoint": f"{url}/search", "need_auth": False}
        lake = EodagSettings(provider="dedl", definition={"search": search}, collections=("S2_MSI_L2A",))
        sites = [eodag_hub("lake", lake)]
        async with gateway_over(sites, tmp_path / "state") as client:
            _, page = await client.post({"collections": ["sentinel-2-l2a"]})
    told = {one["id"]: one["properties"] for one in page["features"]}
    assert [told[name]["storage:tier"] for name in ("on-tape", "on-its-way", "on-disk")] == [
        "offline",
        "staging",
        "online",
    ]
    assert told["on-tape"]["order:status"] == "orderable"
    assert told["on-tape"]["platform"] == "sentinel-2a"
