"""Two items are copies of one scene exactly where they should be: over real spellings of many providers."""

import gzip
import itertools
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edges.model import Dedup, Members
from gateway.search.identity import identify, relation
from gateway.search.scene import facts_of
from gateway.search.scene import moment as moment_of

DATA = Path(os.environ.get("LAKEGATE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "stac"
LABELS = {
    "same-product": "product",
    "same-observation-other-production": "observation",
    "reprocessing": "observation",
    "different-datastrip": None,
    "unknown-datastrip": None,
}


def raw(item: dict[str, Any]) -> Members:
    return msgspec.json.decode(json.dumps(item).encode(), type=Members)


def told(item_id: str, *, collection: str = "c", assets: Any = None, bbox: Any = None, **properties: Any) -> Members:
    named = {name.replace("__", ":"): value for name, value in properties.items()}
    item = {"id": item_id, "collection": collection, "properties": named, "assets": assets or {}}
    return raw(item | ({"bbox": bbox} if bbox is not None else {}))


def related(ours: Members, theirs: Members, level: Dedup = "observation") -> str | None:
    return relation(identify(ours, level), identify(theirs, level))


PLANETARY = told(
    "S2A_MSIL2A_20240402T173901_R098_T13TDE_20240403T022155",
    collection="sentinel-2-l2a",
    platform="Sentinel-2A",
    s2__product_type="S2MSI2A",
    s2__product_uri="S2A_MSIL2A_20240402T173901_N0510_R098_T13TDE_20240403T022155.SAFE",
    s2__datastrip_id="S2A_OPER_MSI_L2A_DS_2APS_20240403T022155_S20240402T174230_N05.10",
)
EARTH_SEARCH = told(
    "S2A_T13TDE_20240402T174230_L2A",
    collection="sentinel-2-c1-l2a",
    platform="sentinel-2a",
    s2__product_type="S2MSI2A",
    s2__product_uri="S2A_MSIL2A_20240402T173901_N0510_R098_T13TDE_20240403T012353.SAFE",
    s2__datastrip_id="S2A_OPER_MSI_L2A_DS_2APS_20240403T012353_S20240402T174230_N05.10",
)


def test_one_tile_of_two_productions_is_one_observation_but_not_one_product() -> None:
    assert related(PLANETARY, EARTH_SEARCH) == "observation"
    assert related(PLANETARY, EARTH_SEARCH, "product") is None


def test_two_datastrips_of_one_tile_complement_each_other_and_are_no_copies() -> None:
    first = told(
        "S2A_MSIL2A_20240820T173901_R098_T13SDD_20240821T001753",
        s2__datastrip_id="S2A_OPER_MSI_L2A_DS_2APS_20240821T001753_S20240820T175258_N05.11",
    )
    second = told(
        "S2A_MSIL2A_20240820T173901_R098_T13SDD_20240821T000250",
        s2__datastrip_id="S2A_OPER_MSI_L2A_DS_2APS_20240821T000250_S20240820T174100_N05.11",
    )
    assert related(first, second) is None


def test_a_datastrip_that_is_not_told_makes_no_observation_but_a_product() -> None:
    name = "S2B_MSIL2A_20200307T210529_N0214_R071_T01CCV_20200307T222902"
    first = told("S2B_1CCV_20200307_0_L2A", sentinel__product_id=name)
    other = told("S2B_1CCV_20200307_1_L2A", sentinel__product_id=name.replace("T222902", "T231459"))
    assert related(first, other) is None
    assert related(first, told(f"{name}.SAFE")) == "product"


def test_the_parts_of_an_identifier_do_where_no_product_is_named() -> None:
    cdse = told(
        "urn:x:1",
        product__type="S2MSI2A",
        grid__code="MGRS-13TDE",
        eopf__datatake_id="GS2A_20240402T173901_045855_N05.10",
        eopf__datastrip_id="S2A_OPER_MSI_L2A_DS_2APS_20240403T012353_S20240402T174230_N05.10",
        s2__generation_time="2024-04-03T01:23:53.000000Z",
    )
    assert related(cdse, EARTH_SEARCH) == "product"
    assert related(cdse, PLANETARY) == "observation"


def test_an_item_derived_from_a_product_is_no_copy_of_it() -> None:
    uri = "S2A_MSIL2A_20240402T173901_N0510_R098_T13TDE_20240403T012353.SAFE"
    assert related(EARTH_SEARCH, told("ndvi", s2__product_uri=uri, product__type="NDVI")) is None


def test_level_1_is_no_copy_of_level_2() -> None:
    strip = "S2A_OPER_MSI_L1C_DS_2APS_20240403T012353_S20240402T174230_N05.10"
    level_1 = told("S2A_MSIL1C_20240402T173901_N0510_R098_T13TDE_20240402T191310", s2__datastrip_id=strip)
    assert related(level_1, EARTH_SEARCH) is None


SAR = "S1A_IW_GRDH_1SDV_20220428T034417_20220428T034442_042968_05213C"


def test_a_radar_product_is_known_by_its_unique_code_wherever_it_stands() -> None:
    address = {"vv": {"href": f"https://x.example/{SAR}_28ED/measurement/iw-vv.tiff"}}
    short = told(SAR, assets=address)
    assert related(short, told(f"{SAR}_28ED.SAFE")) == "product"
    assert related(short, told(f"{SAR}_90AF")) == "observation"
    assert related(told(SAR), told(f"{SAR}_28ED")) == "observation"


def test_a_terrain_corrected_radar_scene_is_no_copy_of_its_source() -> None:
    assert related(told(SAR), told(f"{SAR}_rtc", sar__product_type="GRD", platform="SENTINEL-1A")) is None


def test_near_real_time_and_final_are_productions_of_one() -> None:
    near = told("S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3")
    final = told("S3A_OL_1_EFR____20211021T073827_20211021T074112_20211022T120000_0164_077_334_4320_LN1_O_NT_002")
    short = told("S3A_OL_1_EFR_20211021T073827_20211021T074112_0164_077_334_4320")
    assert related(near, final) == "observation"
    assert related(short, final) == "observation"
    href = "x/S3A_OL_1_EFR____20211021T073827_20211021T074112_20211022T120000_0164_077_334_4320_LN1_O_NT_002.SEN3/m.xml"
    assert (
        related(
            told("S3A_OL_1_EFR_20211021T073827_20211021T074112_0164_077_334_4320", assets={"m": {"href": href}}), final
        )
        == "product"
    )
    offline = told("S5P_OFFL_L2__AER_AI_20200303T013547_20200303T031717_12367_01_010302_20200306T032414")
    again = told("S5P_RPRO_L2__AER_AI_20200303T013547_20200303T031717_12367_03_020400_20230306T032414")
    assert related(offline, again) == "observation"


def test_a_landsat_scene_without_its_date_of_processing_finds_it_in_addresses() -> None:
    full = told("LC08_L2SP_033032_20231008_20231017_02_T1")
    href = (
        "s3://usgs-landsat/x/LC08_L2SP_033032_20231008_20231017_02_T1/LC08_L2SP_033032_20231008_20231017_02_T1_B4.TIF"
    )
    short = told("LC08_L2SP_033032_20231008_02_T1", assets={"red": {"href": href}})
    dated = told("LC08_L2SP_033032_20231008_02_T1", collection="d", landsat__product_generated="2023-10-17T16:22:27Z")
    assert related(full, short) == related(full, dated) == "product"
    assert related(full, told("LC08_L2SP_033032_20231008_20231009_02_RT")) == "observation"
    assert related(full, told("LC08_L2SP_033032_20231008_20231017_02_T1_SR")) is None
    assert related(full, told("LC08_L1TP_033032_20231008_20231017_02_T1")) is None


def test_the_halves_of_a_landsat_scene_are_no_copies_of_each_other_though_they_share_an_id() -> None:
    name = "LE07_L2SP_021030_20100109_20200911_02_T1"
    halves = {half: {"a": {"href": f"https://x.example/{name}_{half}_B6.TIF"}} for half in ("SR", "ST")}
    reflectance = told(name, collection="sr", assets=halves["SR"])
    assert related(reflectance, told(name, collection="st", assets=halves["ST"])) is None
    assert related(reflectance, told(f"{name}_SR", collection="c2")) == "product"


def test_granules_are_known_by_product_day_and_tile() -> None:
    new = told("MYD09A1.A2025057.h35v10.061.2025066034638")
    assert related(new, told("MYD09A1.A2025057.h35v10.061.2025066034638.hdf", collection="d")) == "product"
    assert related(new, told("MYD09A1.A2025057.h35v10.006.2025065034638")) == "observation"
    assert related(new, told("MOD09A1.A2025057.h35v10.061.2025066034638")) is None
    cmr = told("G1994512890-LPCLOUD", assets={"B09": {"href": "https://x/HLS.L30.T01GEL.2021001T213113.v1.5.B09.tif"}})
    assert related(cmr, told("HLS.L30.T01GEL.2021001T213113.v1.5")) == "product"
    assert related(cmr, told("HLS.L30.T01GEL.2021001T213113.v2.0")) == "observation"


GRIDDED = {"platform": "acme_1", "grid__code": "ACME-7", "datetime": "2024-01-02T03:04:05Z"}


def test_any_other_mission_is_known_by_moment_platform_and_cell_within_one_collection() -> None:
    box = [1.0, 2.0, 3.0, 4.0]
    one = told("a", bbox=box, **GRIDDED, processing__datetime="2024-02-01T00:00:00Z")
    two = told("b", bbox=box, **GRIDDED | {"platform": "ACME-1"}, processing__datetime="2025-02-01T00:00:00Z")
    assert related(one, two) == "observation"
    assert related(one, two, "product") is None
    assert related(one, told("b", collection="d", bbox=box, **GRIDDED)) is None
    assert related(one, told("b", bbox=[1.0, 2.0, 3.0, 5.0], **GRIDDED)) is None
    assert related(one, told("b", bbox=box, **GRIDDED, processing__level="L2")) is None


@pytest.mark.parametrize(
    "properties",
    [
        {"platform": None},
        {"grid__code": None},
        {"datetime": None},
        {"datetime": 7},
        {"platform": "sentinel-2a"},
        {"platform": "acme-1,acme-2"},
        {"start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-03-31T00:00:00Z"},
        {"start_datetime": "soon"},
    ],
)
def test_what_is_not_known_for_certain_is_never_a_copy(properties: dict[str, Any]) -> None:
    one, two = (told(name, bbox=[1, 2, 3, 4], **GRIDDED | properties) for name in "ab")
    assert related(one, two) is None


STRONG = "1220" + "ab" * 32


def test_equal_checksums_make_a_replica_under_any_id_of_the_collection() -> None:
    assets = {"red": {"href": "s3://a", "file:checksum": STRONG}, "meta": {"href": "s3://m", "roles": ["metadata"]}}
    upper = {"B04": {"href": "s3://b", "file:checksum": STRONG.upper()}}
    assert related(told("a", assets=assets), told("b", assets=upper), "replica") == "replica"
    assert related(told("a", assets=assets), told("b", collection="d", assets=upper), "replica") is None
    assert related(told("a", assets=assets), told("b", collection="d", assets=upper), "product") == "replica"


def test_a_weak_checksum_counts_with_the_size_only_and_all_data_assets_must_have_one() -> None:
    weak = {"file:checksum": "d50110" + "ab" * 16}
    assert related(told("a", assets={"x": weak}), told("b", assets={"x": weak})) is None
    sized = weak | {"file:size": 5}
    assert related(told("a", assets={"x": sized}), told("b", assets={"x": sized})) == "replica"
    assert related(told("a", assets={"x": sized, "y": {}}), told("b", assets={"x": sized, "y": {}})) is None


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"id": "a", "collection": "c", "properties": []},
        {"id": 1, "collection": "c", "properties": {}},
        {"id": "a", "collection": "c", "properties": {"s2:product_uri": [1], "grid:code": {}, "platform": 5}},
        {"id": "a", "collection": "c", "properties": {}, "assets": {"x": {"file:checksum": {}, "roles": 5}}},
        {"id": "a", "collection": "c", "properties": {}, "assets": "file:checksum"},
        {"id": "S2A_MSIL2A_20249999T173901_R098_T13TDE_20240403T022155", "collection": "c", "properties": {}},
    ],
)
def test_what_a_hostile_site_tells_is_read_as_nothing(item: dict[str, Any]) -> None:
    for level in ("none", "replica", "product", "observation"):
        tokens = identify(raw(item), level).tokens
        assert {token[0] for token in tokens} <= {"item"}


def test_names_tell_moments() -> None:
    assert moment_of("19700101T000001") == moment_of("1970001T000001") == 1_000_000
    assert moment_of("2024") is None


def every_item() -> dict[tuple[str, str, str], Members]:
    found = {}
    for path in sorted((DATA / "items").glob("*/*.ndjson.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                item = msgspec.json.decode(line, type=Members)
                facts = facts_of(item | {"collection": item.get("collection", msgspec.Raw(b'""'))})
                if facts is not None:
                    found[path.parent.name, path.name.removesuffix(".ndjson.gz"), facts.id] = item | {
                        "collection": msgspec.Raw(msgspec.json.encode(path.name.removesuffix(".ndjson.gz")))
                    }
    return found


@pytest.mark.skipif(not DATA.exists(), reason=f"no real catalogues at {DATA}; set LAKEGATE_DATA")
def test_every_labelled_pair_of_real_items_comes_out_right_and_no_other_item_joins_them() -> None:
    items = every_item()
    groups = json.loads((DATA / "s2-identity-pairs.json").read_text())
    keys = [[(one["provider"], one["collection"], one["id"]) for one in group["items"]] for group in groups]
    seen = {key: identify(item, "observation") for key, item in items.items()}
    for group, members in zip(groups, keys, strict=True):
        for ours, theirs in itertools.combinations(members, 2):
            assert relation(seen[ours], seen[theirs]) == LABELS[group["relation"]], (ours, theirs)
    for first, second in itertools.combinations(keys, 2):
        for ours, theirs in itertools.product(first, second):
            assert relation(seen[ours], seen[theirs]) is None, (ours, theirs)
