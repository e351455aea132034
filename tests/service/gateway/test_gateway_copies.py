"""One scene, many copies: over the real catalogues of many providers, each as a site of its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from federated_lake import Client, Name, gateway_over, hub, read_items, site_of

from edges.model import Dedup, Members, Query
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order
from gateway.search.identity import identify

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

SCENES = (
    "S2MSI1C", "S2MSI2A", "landsat-c2-l1", "landsat-c2l1", "landsat-c2-l2", "landsat-c2l2-sr", "landsat-c2l2-st",
    "none", "sentinel-2-c1-l2a", "sentinel-2-l2a", "sentinel-s2-l2a", "sentinel-s2-l2a-cogs",
)  # fmt: skip
RUNGS = {
    "same-product": "product",
    "same-observation-other-production": "observation",
    "reprocessing": "observation",
    "different-datastrip": None,
    "unknown-datastrip": None,
}
Rows = list[tuple[str, Name, Members]]


@pytest.fixture(scope="session")
def rows(folders: list[Path]) -> Rows:
    """Return the scenes of all sites, each with its site."""
    return [
        (folder.name, name, item)
        for folder in folders
        for name, item in read_items(folder).items()
        if name[0] in SCENES
    ]


def first_of_each(rows: Rows, query: Query) -> list[Name]:
    """Return what stands, by its definition: what has no copy before it in the sorted union."""
    matches, key = compile_query(query), compile_key(total_order(query.sortby))
    placed = sorted(
        ((key(item), site, name, item) for site, name, item in rows if matches(item)), key=lambda row: row[:2]
    )
    stands: list[Name] = []
    seen: dict[Any, list[tuple[Any, str]]] = {}
    for place, site, name, item in placed:
        copies = [
            (token, other, earlier)
            for token in identify(item, query.dedup).tokens
            for earlier, other in seen.get(token, [])
            if token[0] not in ("item", "bytes") or other != site
        ]
        if not copies:
            stands.append(name)
        for token in identify(item, query.dedup).tokens:
            seen.setdefault(token, []).append((place, site))
    return stands


@pytest.mark.parametrize("level", ["product", "observation"])
async def test_a_walk_over_real_sites_gives_each_scene_once(lake: Client, rows: Rows, level: Dedup) -> None:
    query = Query(collections=SCENES, dedup=level)
    wanted = first_of_each(rows, query)
    assert len(wanted) < len({name for _, name, _ in rows})
    assert await lake.walk(collections=list(SCENES), dedup=level, limit=400) == wanted


async def test_every_labelled_group_comes_out_right_over_http(
    lake: Client, union: Mapping[Name, Members], real_items: Path
) -> None:
    groups = json.loads((real_items.parent / "s2-identity-pairs.json").read_text())
    for group in groups:
        names = [(one["collection"], one["id"]) for one in group["items"]]
        assert all(name in union for name in names)
        ids = [item_id for _, item_id in names]
        for level, rungs in (("product", {"product"}), ("observation", {"product", "observation"})):
            found = await lake.walk(ids=ids, dedup=level, limit=1)
            one = RUNGS[group["relation"]] in rungs
            assert len(found) == (1 if one else len(set(names))), (level, names)


async def test_get_and_post_say_the_same_and_other_productions_are_told(lake: Client) -> None:
    ids = ["S2A_T13TDE_20240402T174230_L2A", "S2A_MSIL2A_20240402T173901_R098_T13TDE_20240403T022155"]
    _, by_post = await lake.post({"ids": ids, "dedup": "observation"})
    _, by_get = await lake.get("/search", ids=",".join(ids), dedup="observation")
    (posted,), (got,) = by_post["features"], by_get["features"]
    assert posted == got
    assert posted["id"] == ids[0]
    assert [(each["backend"], each["relation"]) for each in posted["properties"]["federation:copies"]] == [
        ("earth-search", "self"),
        ("planetary-computer", "observation"),
    ]
    (link,) = (link for link in posted["links"] if link["rel"] == "related" and "federation:relation" in link)
    assert link["href"].endswith(f"/collections/sentinel-2-l2a/items/{ids[1]}")
    assert by_post["federation:matched"] == {"value": 1, "exact": False}


async def test_an_item_tells_the_other_productions_of_its_scene_when_asked(lake: Client) -> None:
    path = "/collections/sentinel-2-c1-l2a/items/S2A_T13TDE_20240402T174230_L2A"
    _, plain = await lake.get(path)
    assert "federation:copies" not in plain["properties"]
    _, told = await lake.get(path, dedup="observation")
    assert [each["relation"] for each in told["properties"]["federation:copies"]] == ["self", "observation"]
    _, product = await lake.get(path, dedup="product")
    assert "federation:copies" not in product["properties"]


async def test_every_copy_is_given_where_none_is_to_be_left_out(lake: Client) -> None:
    name = "Copernicus_DSM_COG_10_S90_00_W180_00_DEM"
    body = {"ids": [name], "collections": ["cop-dem-glo-30"], "dedup": "none", "limit": 1}
    backends = [page["features"][0]["properties"]["federation:backends"] async for page in lake.pages(body)]
    assert backends == [["earth-search"], ["planetary-computer"]]


@pytest.mark.parametrize("value", ["scene", "", 5, ["replica"]])
async def test_an_unknown_rung_is_an_error_that_names_the_field(lake: Client, value: Any) -> None:
    status, problem = await lake.post({"dedup": value})
    assert status == 400
    assert problem["field"] == "dedup"
    assert "replica" in problem["detail"]


async def test_a_mirror_with_other_times_shows_each_item_once_on_any_page(
    union: Mapping[Name, Members], tmp_path: Path
) -> None:
    """A site tells a tile by when it was sensed, another the same one by when the datatake began."""
    ours = [msgspec.json.decode(msgspec.json.encode(item)) for name, item in union.items() if name[0] == "S2MSI2A"]
    theirs = [item | {"properties": item["properties"] | {"datetime": "2019-09-10T10:04:00Z"}} for item in ours]
    async with (
        site_of(ours, tmp_path / "a.db") as one,
        site_of(theirs, tmp_path / "b.db") as other,
        gateway_over([hub("one", one), hub("other", other)], tmp_path / "state") as client,
    ):
        for limit in (1, 3, 100):
            found = [
                (item["id"], item["properties"]["federation:backends"])
                async for page in client.pages({"limit": limit})
                for item in page["features"]
            ]
            assert sorted(found) == sorted((item["id"], ["one", "other"]) for item in ours)
        every = await client.walk(limit=3, dedup="none")
        assert len(every) == 2 * len(ours)
