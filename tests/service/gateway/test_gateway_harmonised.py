"""Sites with words of their own behind a gateway: asked and answered in harmonised ones, whatever is asked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from federated_lake import Client, gateway_over, hub, item, site_of

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

PROFILE = """
name: theirs
collections: {S2MSI2A: sentinel-2-l2a}
properties:
  - {native: platform, values: {S2A: sentinel-2a, S2B: sentinel-2b}}
  - {native: cover, ours: eo:cloud_cover, linear: {scale: 100}, exclusive: true}
  - {native: coverage, ours: s2:nodata_pixel_percentage, linear: {scale: -1, offset: 100}, exclusive: true}
  - {native: tile, ours: grid:code, text: {prefix: MGRS-}, keep: true}
assets:
  - keys: {B04: red, data: product}
"""


def theirs(n: int) -> dict[str, Any]:
    told = {"platform": "S2A" if n % 2 else "S2B", "cover": n / 20, "coverage": n, "tile": f"{n:02}TQM"}
    made = item(f"t{n}", "S2MSI2A", day=n, **told)
    return made | {"assets": {"B04": {"href": f"https://data.example/t{n}/B04.tif"}}}


def ours(n: int) -> dict[str, Any]:
    told = {"eo:cloud_cover": n * 5, "s2:nodata_pixel_percentage": 100 - n, "grid:code": f"MGRS-{n:02}TQM"}
    return item(f"o{n}", "sentinel-2-l2a", day=n, platform="sentinel-2a" if n % 2 else "sentinel-2b", **told)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def harmonising(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """Return a gateway over a site that says everything otherwise, and one that speaks our words."""
    folder = tmp_path_factory.mktemp("harmonising")
    profile = folder / "theirs.yaml"
    profile.write_text(PROFILE, encoding="utf-8")
    async with (
        site_of([theirs(n) for n in range(1, 10)], folder / "theirs.db") as native,
        site_of([ours(n) for n in range(1, 10)], folder / "ours.db") as plain,
    ):
        sites = [hub("theirs", native, profile=str(profile)), hub("ours", plain)]
        async with gateway_over(sites, folder / "state") as client:
            yield client


def both(*days: int) -> list[tuple[str, str]]:
    return [("sentinel-2-l2a", f"{kind}{n}") for n in days for kind in "ot"]


def prop(name: str) -> dict[str, str]:
    return {"property": name}


ASKED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "a value of a table": (
        {"filter": {"op": "=", "args": [prop("platform"), "sentinel-2a"]}},
        both(9, 7, 5, 3, 1),
    ),
    "a unit": ({"filter": {"op": "between", "args": [prop("eo:cloud_cover"), 15, 25]}}, both(5, 4, 3)),
    "the query extension": ({"query": {"eo:cloud_cover": {"lt": 15}, "platform": {"eq": "sentinel-2a"}}}, both(1)),
    "a reversed unit": ({"filter": {"op": ">", "args": [prop("s2:nodata_pixel_percentage"), 97]}}, both(2, 1)),
    "a prefix": ({"filter": {"op": "like", "args": [prop("grid:code"), "MGRS-0%"]}}, both(*range(9, 0, -1))),
    "what has no native words": (
        {"filter": {"op": "and", "args": [
            {"op": "<=", "args": [prop("eo:cloud_cover"), 20]},
            {"op": "<>", "args": [prop("platform"), prop("grid:code")]},
            {"op": "like", "args": [prop("grid:code"), "%2TQM"]},
        ]}},
        both(2),
    ),
    "an order that the site has": (
        {"sortby": [{"field": "eo:cloud_cover", "direction": "asc"}]},
        both(*range(1, 10)),
    ),
    "an order that is reversed there": (
        {"sortby": [{"field": "s2:nodata_pixel_percentage", "direction": "asc"}]},
        both(*range(9, 0, -1)),
    ),
    "an order that the site has not": (
        {"sortby": [{"field": "platform", "direction": "asc"}, {"field": "datetime", "direction": "desc"}]},
        both(9, 7, 5, 3, 1, 8, 6, 4, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", ASKED)
@pytest.mark.parametrize("limit", [3, 100])
async def test_both_sites_answer_as_one_to(harmonising: Client, way: str, limit: int) -> None:
    body, expected = ASKED[way]
    assert await harmonising.walk(**body, limit=limit) == expected


async def test_items_come_in_harmonised_words(harmonising: Client) -> None:
    _, found = await harmonising.get("/collections/sentinel-2-l2a/items/t3")
    told = found["properties"]
    assert (told["platform"], told["eo:cloud_cover"], told["grid:code"]) == ("sentinel-2a", 15, "MGRS-03TQM")
    assert "cover" not in told
    assert list(found["assets"]) == ["red"]
    assert "federation:provenance" not in told


@pytest.mark.parametrize("by", ["get", "post", "item"])
async def test_what_was_changed_is_told_on_request(harmonising: Client, by: str) -> None:
    if by == "get":
        _, page = await harmonising.get("/search", ids="t3,o3", provenance="true")
    elif by == "post":
        _, page = await harmonising.post({"ids": ["t3", "o3"], "provenance": True})
    else:
        path = "/collections/sentinel-2-l2a/items/"
        page = {"features": [(await harmonising.get(path + name, provenance="true"))[1] for name in ("t3", "o3")]}
    told = {item["id"]: item["properties"]["federation:provenance"] for item in page["features"]}
    assert told["o3"] == {"source": "ours", "profile": None, "harmonized": False, "changes": []}
    assert (told["t3"]["source"], told["t3"]["harmonized"]) == ("theirs", True)
    assert {"field": "eo:cloud_cover", "native": "cover", "from": 0.15, "to": 15.0} in told["t3"]["changes"]
    assert {"field": "assets.red", "native": "assets.B04"} in told["t3"]["changes"]


async def test_a_wrong_wish_for_provenance_is_told(harmonising: Client) -> None:
    status, problem = await harmonising.get("/search", provenance="perhaps")
    assert status == 400
    assert "provenance" in problem["detail"]


async def test_an_inexact_filter_gives_no_count_and_no_quirk(harmonising: Client) -> None:
    body, _ = ASKED["what has no native words"]
    _, page = await harmonising.post(body)
    assert "numberMatched" not in page
    _, site = await harmonising.get("/sites/theirs")
    assert site["quirks"] == []
    assert site["profile"].endswith("theirs.yaml")
