"""A catalogue behind a profile keeps the promises of its seam, in words of ours."""

from typing import Any

import msgspec
import pytest

from edges.catalogues.aggregating import CannotAggregate
from edges.catalogues.harmonised import HarmonisedCatalogue
from edges.catalogues.memory import MemoryCatalogue
from edges.model import Json, Query, SortKey
from edges.profiles.load import load_profile
from edges.profiles.model import Profile
from edges.stac.aggregation import Wanted

pytestmark = pytest.mark.seam

PROFILE = load_profile("earth-search-v0")
TILE = "S2B_MSIL2A_20250731T131909_N0511_R095_T20EPT_20250731T143919"


def collection(name: str) -> Json:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return {"type": "Collection", "id": name, "description": "d", "license": "other", "extent": extent, "links": []}


def item(item_id: str, **properties: Any) -> Json:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": "sentinel-2-l2a",
        "geometry": None,
        "properties": {"datetime": "2020-01-01T00:00:00Z"} | properties,
        "links": [],
        "assets": {"red": {"href": "https://a/B04.tif"}},
    }


async def filled(profile: Profile) -> tuple[MemoryCatalogue, HarmonisedCatalogue]:
    inner = MemoryCatalogue()
    outer = HarmonisedCatalogue(inner, profile, site="site")
    await outer.put_collection(collection("sentinel-2-l2a"))
    await outer.put_items(
        "sentinel-2-l2a",
        [
            item("a", **{"s2:nodata_pixel_percentage": 98.05, "s2:product_uri": f"{TILE}.SAFE"}),
            item("b", **{"s2:nodata_pixel_percentage": 20}),
        ],
    )
    return inner, outer


async def test_what_is_written_is_kept_in_native_words_and_read_in_ours() -> None:
    inner, outer = await filled(PROFILE)
    kept = await inner.item("sentinel-s2-l2a-cogs", "a")
    assert kept is not None
    native = msgspec.json.decode(msgspec.json.encode(kept))
    assert native["properties"]["sentinel:product_id"] == TILE
    assert native["properties"]["sentinel:data_coverage"] == pytest.approx(1.95)
    assert list(native["assets"]) == ["B04"]
    found = await outer.item("sentinel-2-l2a", "a")
    assert found is not None
    assert msgspec.json.decode(found["properties"])["s2:nodata_pixel_percentage"] == 98.05
    assert [each["id"] for each in await outer.collections()] == ["sentinel-2-l2a"]
    assert await outer.delete_item("sentinel-2-l2a", "a")
    assert await inner.item("sentinel-s2-l2a-cogs", "a") is None


async def test_order_and_filter_are_those_of_our_words() -> None:
    _, outer = await filled(PROFILE)
    for descending, names in ((False, ["b", "a"]), (True, ["a", "b"])):
        order = (SortKey(field="s2:nodata_pixel_percentage", descending=descending),)
        batch = await outer.search(Query(sortby=order), limit=10)
        assert [msgspec.json.decode(one["id"]) for one in batch.items] == names
    filter_ = {"op": ">", "args": [{"property": "s2:nodata_pixel_percentage"}, 98]}
    batch = await outer.search(Query(filter=filter_), limit=10)
    assert [msgspec.json.decode(one["id"]) for one in batch.items] == ["a"]
    assert (batch.matched, batch.exact) == (1, True)


async def test_what_native_words_cannot_keep_is_not_claimed() -> None:
    inner, outer = await filled(PROFILE)
    claimed, own = await outer.capabilities(), await inner.capabilities()
    assert own.ties
    assert not claimed.ties
    assert not claimed.text
    assert "proj:code" in claimed.unsortable


async def test_the_site_counts_what_it_has_our_words_for() -> None:
    _, outer = await filled(PROFILE)
    claimed = (await outer.capabilities()).aggregates
    assert "total_count" in claimed
    assert "platform_frequency" in claimed
    assert "collection_frequency" not in claimed
    with pytest.raises(CannotAggregate):
        await outer.aggregate(Query(), Wanted(names=("collection_frequency",)))
    inexact = {"op": "=", "args": [{"property": "proj:code"}, {"property": "id"}]}
    with pytest.raises(CannotAggregate):
        await outer.aggregate(Query(filter=inexact), Wanted(names=("total_count",)))
    filter_ = {"op": ">", "args": [{"property": "s2:nodata_pixel_percentage"}, 98]}
    tally = await outer.aggregate(Query(filter=filter_), Wanted(names=("total_count",)))
    assert tally.total == 1


async def test_a_native_name_of_a_collection_is_unknown() -> None:
    _, outer = await filled(PROFILE)
    assert await outer.item("sentinel-s2-l2a-cogs", "a") is None
    assert (await outer.search(Query(collections=("sentinel-s2-l2a-cogs",)), limit=10)).items == []


async def test_without_a_profile_everything_passes_as_it_is() -> None:
    inner, outer = await filled(Profile(name=""))
    assert await outer.capabilities() == await inner.capabilities()
    one, same = await inner.item("sentinel-2-l2a", "a"), await outer.item("sentinel-2-l2a", "a")
    assert one is same
