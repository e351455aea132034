"""The shipped profiles, and what is said of one that cannot be used."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edges.model import Json, Members, Query
from edges.profiles.items import ItemWords
from edges.profiles.load import ProfileError, load_profile, profile_of, shipped_profiles
from edges.profiles.queries import QueryWords
from edges.settings import CatalogueSettings
from edges.stac.cql2 import check_filter
from edges.stac.matching import compile_query

ITEMS = Path(os.environ.get("LAKEGATE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "stac" / "items"
REAL = {
    "planetary-computer": "planetary-computer",
    "earth-search-v0": "earth-search/sentinel-s2-l2a-cogs.ndjson.gz",
    "earth-search-v1": "earth-search",
    "cdse": "cdse",
    "usgs-landsatlook": "usgs-landsatlook",
    "cmr-stac": "nasa-cmr",
}
EACH = 20
MEMBERS = msgspec.json.Decoder(Members)
QUESTIONS: tuple[Json, ...] = tuple(
    check_filter(each)
    for each in (
        {"op": "in", "args": [{"property": "platform"}, ["sentinel-2a", "landsat-8", "sentinel-1a"]]},
        {"op": "like", "args": [{"property": "grid:code"}, "MGRS-%"]},
        {"op": "=", "args": [{"property": "proj:code"}, "EPSG:32632"]},
        {"op": "<", "args": [{"property": "s2:nodata_pixel_percentage"}, 50]},
        {"op": "=", "args": [{"property": "s2:processing_baseline"}, "05.11"]},
        {"op": "isNull", "args": [{"property": "processing:level"}]},
        {"op": "like", "args": [{"property": "s2:product_uri"}, "%.SAFE"]},
        {"op": "<", "args": [{"property": "landsat:cloud_cover_land"}, 20]},
    )
)


def real_items(name: str) -> Iterator[Members]:
    source = ITEMS / REAL[name]
    for path in [source] if source.is_file() else sorted(source.glob("*.ndjson.gz")):
        with gzip.open(path, "rb") as lines:
            for line, _ in zip(lines, range(EACH), strict=False):
                item = MEMBERS.decode(line)
                if "collection" in item:
                    yield item


def decoded(item: Members) -> Json:
    return dict(msgspec.json.decode(msgspec.json.encode(item)))


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_can_be_used_and_goes_by_its_file(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert profile.source.startswith("https://")
    QueryWords(profile)


@pytest.mark.skipif(not ITEMS.is_dir(), reason=f"no real items at {ITEMS}; set LAKEGATE_DATA")
@pytest.mark.parametrize("name", REAL)
def test_real_items_come_back_the_same_and_match_at_the_site_as_here(name: str) -> None:
    profile = load_profile(name)
    queries = QueryWords(profile)
    words = ItemWords(profile, queries.ids)
    changed = 0
    for item in real_items(name):
        ours = words.harmonised(item)
        changed += ours is not item
        native = words.native(decoded(ours), msgspec.json.decode(item["collection"]))
        assert decoded(words.harmonised(MEMBERS.decode(msgspec.json.encode(native)))) == decoded(ours)
        for question in QUESTIONS:
            asked = queries.native(Query(filter=question))
            here = compile_query(Query(filter=question))(ours)
            there = compile_query(asked.query)(item)
            assert there is here if asked.exact else there or not here
    assert changed


@pytest.mark.skipif(not ITEMS.is_dir(), reason=f"no real items at {ITEMS}; set LAKEGATE_DATA")
def test_one_scene_of_many_providers_has_the_same_words() -> None:
    for name, path in (
        ("planetary-computer", "planetary-computer/sentinel-2-l2a"),
        ("earth-search-v0", "earth-search/sentinel-s2-l2a-cogs"),
        ("earth-search-v1", "earth-search/sentinel-2-c1-l2a"),
        ("cdse", "cdse/sentinel-2-l2a"),
    ):
        profile = load_profile(name)
        words = ItemWords(profile, QueryWords(profile).ids)
        with gzip.open(ITEMS / f"{path}.ndjson.gz", "rb") as lines:
            item = decoded(words.harmonised(MEMBERS.decode(next(lines))))
        assert item["properties"]["platform"].startswith("sentinel-2")
        assert item["properties"]["constellation"] == "sentinel-2"
        assert {"blue", "green", "red", "nir", "scl", "swir16"} <= item["assets"].keys()
        assert item["properties"]["s2:processing_baseline"] if name != "earth-search-v0" else True


def test_a_site_adds_its_own_collection_ids() -> None:
    settings = CatalogueSettings(url="http://x", profile="usgs-landsatlook", collections={"mine": "ours"})
    assert profile_of(settings).collections["mine"] == "ours"
    assert profile_of(settings).collections["landsat-c2l1"] == "landsat-c2-l1"


def test_a_site_without_a_profile_has_its_ids_only() -> None:
    assert profile_of(CatalogueSettings(url="http://x", collections={"a": "b"})).properties == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\nproperties: [{native: a}]", "changes neither name nor value - at `$.properties[0]`"),
        ("name: x\nproperties: [{native: a, ours: b, linear: {scale: 0}}]", "scale other than 0"),
        ("name: x\nproperties: [{native: a, values: {a: b}, linear: {scale: 2}}]", "one of `values`, `linear`"),
        ("name: x\nproperties: [{native: a, keep: true, values: {a: b}}]", "another name in `ours`"),
        ("name: x\nproperties: [{native: a, ours: b}, {native: c, ours: b}]", "have the same `ours`: b"),
        ("name: x\nproperties: [{native: a, ours: b}, {native: b, ours: c}]", "`ours` of one rule and the `native`"),
        ("name: x\nproperties: [{native: properties.a, ours: b}]", "no name of a property"),
        ("name: x\nproperties: [{native: id, ours: b}]", "no name of a property"),
        ("name: x\nassets: [{keys: {a: c, b: c}}]", "two native asset keys become 'c'"),
        ("name: x\nassets: [{keys: {a: c}}, {keys: {b: c}}]", "two asset rules"),
        ("name: x\nfoo: 1", "unknown field `foo`"),
        ("name: [", "is not YAML"),
        ("- x", "Expected `object`, got `array`"),
    ],
)
def test_what_is_wrong_in_a_profile_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError, match=r"own\.yaml") as caught:
        load_profile(str(path))
    assert told in str(caught.value)


def test_an_unknown_profile_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ProfileError, match=r"no profile 'sentinel'.*planetary-computer"):
        load_profile("sentinel")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile("/nowhere/own.yaml")


def test_rules_of_other_collections_may_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "{name: x, properties: [{native: a, ours: c, collections: [one]}, {native: b, ours: c, collections: [two]}]}",
        encoding="utf-8",
    )
    assert len(load_profile(str(path)).properties) == 2
