"""Hubs that EODAG searches, with the real library: a STAC API of our own, and a provider that speaks OData."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from eodag_hubs import ALL, DAYS, L2A, NAMES, catalogue_of, data_space, stac_provider
from federated_lake import item, site_of
from odata_provider import ODataProvider, odata_provider, product
from served_app import served

from edges.budget import Rate
from edges.catalogues.eodag_hub import EodagCatalogue
from edges.errors import Conflict, SiteMisbehaved, SiteNotAsked, SiteUnavailable
from edges.model import Batch, Interval, Query, SortKey
from edges.stac.order import total_order
from edges.tracing import tracing

pytestmark = [
    pytest.mark.service,
    pytest.mark.asyncio(loop_scope="session"),
    # the library's own search by id goes through a function that it has deprecated
    pytest.mark.filterwarnings("ignore:Call to deprecated eodag function:DeprecationWarning"),
    # and its calls by urllib leave refused connections to the collector
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]

NEWEST = (SortKey(field="datetime", descending=True),)


async def walked(catalogue: EodagCatalogue, query: Query, limit: int) -> list[str]:
    found: list[str] = []
    position: str | None = None
    for _ in range(100):
        batch = await catalogue.search(query, limit=limit, after=position)
        assert len(batch.items) <= limit
        found += ids_of(batch)
        position = batch.next
        if position is None:
            return found
    raise AssertionError("the walk has no end")


def ids_of(batch: Batch) -> list[str]:
    return [msgspec.json.decode(item["id"]) for item in batch.items]


def decoded(batch: Batch) -> list[dict[str, Any]]:
    return list(msgspec.json.decode(msgspec.json.encode(batch.items)))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def provider() -> AsyncIterator[ODataProvider]:
    async with odata_provider([*ALL, *L2A]) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def space(provider: ODataProvider, tmp_path_factory: pytest.TempPathFactory) -> EodagCatalogue:
    state = tmp_path_factory.mktemp("state")
    return catalogue_of(data_space(provider.url, "S2_MSI_L1C", "S2_MSI_L2A"), state, timeout_seconds=60.0)


L1C = Query(collections=("S2_MSI_L1C",))


@pytest.mark.parametrize("limit", [5, 6, 100])
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_come_in_the_order_of_time(space: EodagCatalogue, limit: int, descending: bool) -> None:
    query = msgspec.structs.replace(L1C, sortby=(SortKey(field="datetime", descending=descending),))
    assert await walked(space, query, limit) == sorted(NAMES, reverse=descending)


@pytest.mark.parametrize("limit", [3, 5, 100])
async def test_collections_are_merged_by_time(space: EodagCatalogue, limit: int) -> None:
    found = await walked(space, Query(sortby=NEWEST), limit)
    assert len(set(found)) == len(found) == 2 * DAYS
    assert [name[-4:] for name in found] == sorted((name[-4:] for name in found), reverse=True)


async def test_equal_times_lose_no_item(tmp_path: Path) -> None:
    """A page is given bit by bit: what is left of it must not depend on how ties are broken."""
    mixed = [product((n * 7) % 20, day=n // 6) for n in range(20)] + [product(n, "S2MSI2A", day=1) for n in range(9)]
    async with odata_provider(mixed) as one:
        catalogue = catalogue_of(data_space(one.url, "S2_MSI_L1C", "S2_MSI_L2A"), tmp_path, timeout_seconds=60.0)
        for limit in (1, 4):
            found = await walked(catalogue, Query(sortby=total_order(())), limit)
            assert sorted(found) == sorted(each["Name"].removesuffix(".SAFE") for each in mixed)


async def test_without_an_order_one_collection_follows_the_other(space: EodagCatalogue) -> None:
    found = await walked(space, Query(), 5)
    assert len(set(found)) == len(found) == 2 * DAYS


async def test_time_and_space_go_to_the_provider(space: EodagCatalogue, provider: ODataProvider) -> None:
    day = 24 * 3600 * 1_000_000
    start = 1_704_067_200_000_000 + 3 * day  # 2024-01-04
    query = Query(
        collections=("S2_MSI_L1C",),
        datetime=Interval(start=start, end=start + day),
        bbox=(0.0, 0.0, 10.0, 1.0),
    )
    batch = await space.search(query, limit=50)
    assert sorted(ids_of(batch)) == NAMES[2:4]
    assert not batch.exact
    assert "OData.CSC.Intersects" in provider.filters[-1]


async def test_a_box_across_the_antimeridian_is_asked_for_as_two(
    space: EodagCatalogue, provider: ODataProvider
) -> None:
    await space.search(Query(collections=("S2_MSI_L1C",), bbox=(170.0, 0.0, -170.0, 1.0)), limit=5)
    assert "MULTIPOLYGON" in provider.filters[-1].upper()


async def test_a_search_that_goes_on_from_a_time_is_narrowed(space: EodagCatalogue, provider: ODataProvider) -> None:
    earlier = {"op": "<=", "args": [{"property": "datetime"}, {"timestamp": "2024-01-05T00:00:00Z"}]}
    query = msgspec.structs.replace(L1C, sortby=NEWEST, filter={"op": "and", "args": [earlier, earlier]})
    assert await walked(space, query, 5) == sorted(NAMES[:4], reverse=True)
    assert "ContentDate/Start lt 2024-01-05" in provider.filters[-1]
    no_time = msgspec.structs.replace(L1C, filter={"op": "isNull", "args": [{"property": "datetime"}]})
    assert (await space.search(no_time, limit=5)).items == []


async def test_a_product_to_be_ordered_first_is_told_as_such(space: EodagCatalogue) -> None:
    batch = await space.search(msgspec.structs.replace(L1C, sortby=NEWEST), limit=50)
    for one in decoded(batch):
        offline = int(one["id"][-4:]) % 3 == 0
        assert one["properties"]["order:status"] == ("orderable" if offline else "succeeded")
        assert one["properties"]["storage:tier"] == ("offline" if offline else "online")


async def test_an_item_is_stac_without_what_is_internal(space: EodagCatalogue) -> None:
    found = await space.item("S2_MSI_L1C", NAMES[0])
    assert found is not None
    one = msgspec.json.decode(msgspec.json.encode(found))
    assert one["stac_version"] == "1.1.0"
    assert one["collection"] == "S2_MSI_L1C"
    assert one["bbox"] == [1.0, 0.0, 2.0, 1.0]
    assert one["properties"]["datetime"].startswith("2024-01-02T00:00:00")
    assert one["properties"]["eo:cloud_cover"] == 1
    assert one["links"] == []
    assert one["assets"]["downloadLink"]["href"].startswith("https://")
    assert not [name for name in one["properties"] if name.startswith(("eodag:", "_"))]
    assert "Not Available" not in str(one)


async def test_items_are_found_by_their_ids(space: EodagCatalogue) -> None:
    batch = await space.search(msgspec.structs.replace(L1C, ids=(NAMES[1], NAMES[4], "nothing")), limit=10)
    assert ids_of(batch) == [NAMES[1], NAMES[4]]
    assert await space.item("S2_MSI_L1C", "nothing") is None
    assert await space.item("no-such-collection", NAMES[0]) is None
    with pytest.raises(SiteUnavailable, match="one by one"):
        await space.search(Query(ids=tuple(str(n) for n in range(30))), limit=10)


async def test_an_id_is_never_a_part_of_the_words_of_a_request(space: EodagCatalogue, provider: ODataProvider) -> None:
    before = len(provider.filters)
    for name in ("x' or 1 eq 1 or 'x", 'a"b', "{id}", "a\\b", "a\nb"):
        assert await space.item("S2_MSI_L1C", name) is None
    assert len(provider.filters) == before


async def test_a_stac_api_is_asked_for_many_ids_at_once(tmp_path: Path) -> None:
    names = tuple(f"scene-{day}" for day in range(DAYS))
    kept = [item(name, "native", day=day) for day, name in enumerate(names)]
    async with site_of(kept, tmp_path / "lake.db") as url:
        catalogue = catalogue_of(stac_provider(url, {"S2_MSI_L1C": "native"}), tmp_path / "state", timeout_seconds=60.0)
        assert (await catalogue.capabilities()).ids_at_once == 500
        with tracing() as trace:
            batch = await catalogue.search(msgspec.structs.replace(L1C, ids=(*names, "nothing", "o ther")), limit=50)
        assert len(trace.requests) == DAYS + 2  # one is not so plain that it could not be changed on its way
        with tracing() as trace:
            batch = await catalogue.search(msgspec.structs.replace(L1C, ids=(*names, "nothing")), limit=50)
        assert sorted(ids_of(batch)) == sorted(names)
        assert len(trace.requests) == 1
        assert not [one for one in decoded(batch) if "ids" in one["properties"]]


async def test_a_provider_that_looks_over_ids_is_asked_for_one_after_the_other(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    async def careless(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body.get("ids", []))
        wanted = body["ids"] if len(body["ids"]) == 1 else ["other"]
        found = [item(name, "native", day=1) for name in wanted if name != "nothing"]
        return web.json_response({"type": "FeatureCollection", "features": found, "links": []})

    app = web.Application()
    app.router.add_post("/search", careless)
    async with served(app) as url:
        catalogue = catalogue_of(stac_provider(url, {"S2_MSI_L1C": "native"}), tmp_path, timeout_seconds=60.0)
        for _ in range(2):
            batch = await catalogue.search(msgspec.structs.replace(L1C, ids=("one", "two", "nothing")), limit=9)
            assert sorted(ids_of(batch)) == ["one", "two"]
        assert [len(ids) for ids in asked].count(3) == 1
        assert (await catalogue.capabilities()).ids_at_once == 50


async def test_collections_that_it_does_not_offer_give_nothing(space: EodagCatalogue) -> None:
    batch = await space.search(Query(collections=("NAIP",)), limit=10)
    assert batch == Batch(items=[], exact=False)
    assert [each["id"] for each in await space.collections()] == ["S2_MSI_L1C", "S2_MSI_L2A"]


async def test_a_provider_has_a_budget_like_any_site(provider: ODataProvider, tmp_path: Path) -> None:
    rate = Rate(per_second=0.001)
    catalogue = catalogue_of(
        data_space(provider.url, "S2_MSI_L1C"), tmp_path, timeout_seconds=60.0, rate=rate, wait_seconds=1.0
    )
    assert len((await catalogue.search(L1C, limit=3)).items) == 3
    with pytest.raises(SiteNotAsked) as caught:
        await catalogue.search(L1C, limit=3)
    assert caught.value.code == "budget"


async def test_a_hub_cannot_be_written_to(space: EodagCatalogue) -> None:
    with pytest.raises(Conflict):
        await space.put_items("S2_MSI_L1C", [])
    with pytest.raises(Conflict):
        await space.put_collection({})
    with pytest.raises(Conflict):
        await space.delete_item("S2_MSI_L1C", "a")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b"down", SiteUnavailable),
        (429, b"slow down", SiteUnavailable),
        (503, b"", SiteUnavailable),
        (401, b"", SiteUnavailable),
        (400, b"bad", SiteMisbehaved),
        (200, b"not JSON", SiteMisbehaved),
    ],
)
async def test_what_goes_wrong_at_the_provider_is_ours_to_tell(
    space: EodagCatalogue, provider: ODataProvider, status: int, body: bytes, error: type[Exception]
) -> None:
    provider.failure = web.Response(status=status, body=body)
    try:
        with pytest.raises(error) as caught:
            await space.search(L1C, limit=5)
        assert "$filter" not in str(caught.value)
    finally:
        provider.failure = None


async def test_a_provider_that_hangs_is_told_in_time_and_holds_no_more_than_its_workers(tmp_path: Path) -> None:
    async with odata_provider(ALL) as slow:
        catalogue = catalogue_of(data_space(slow.url, workers=2), tmp_path, timeout_seconds=60.0)
        await catalogue.capabilities()
        assert ids_of(await catalogue.search(L1C, limit=50))
        slow.gate = asyncio.Event()
        impatient = catalogue_of(data_space(slow.url, workers=2), tmp_path, timeout_seconds=60.0)
        impatient._idle = catalogue._idle
        await impatient.capabilities()
        impatient._threads._seconds = 0.3
        told = await asyncio.gather(*(impatient.search(L1C, limit=5) for _ in range(4)), return_exceptions=True)
        assert all(isinstance(each, SiteUnavailable) for each in told)
        with pytest.raises(SiteUnavailable, match=r"hang|no worker was free"):
            await impatient.search(L1C, limit=5)
