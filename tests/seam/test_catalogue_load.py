import gzip
import json
import os
from pathlib import Path

import msgspec
import pytest

from edges.catalogues.sources import UnreadableInput
from edges.catalogues.sqlite import SqliteCatalogue
from edges.errors import SiteUnavailable
from edges.model import Query

pytestmark = pytest.mark.seam


@pytest.fixture
async def catalogue(tmp_path):
    async with SqliteCatalogue(tmp_path / "db" / "catalogue.db", readers=2) as one:
        yield one


def item(item_id, collection="c", **members):
    return {
        "type": "Feature",
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": {"datetime": "2020-01-01T00:00:00Z"},
    } | members


def write(path, *values):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    data = gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode()
    path.write_bytes(data)
    return path


async def everything(catalogue):
    found, after = {}, None
    while True:
        batch = await catalogue.search(Query(), limit=100, after=after)
        for one in batch.items:
            key = (msgspec.json.decode(one["collection"]), msgspec.json.decode(one["id"]))
            assert key not in found
            found[key] = one
        if batch.next is None:
            return found
        after = batch.next


async def test_every_kind_of_file_is_loaded(catalogue, tmp_path):
    folder = tmp_path / "in"
    write(folder / "one.json", item("one"))
    write(folder / "page.geojson", {"type": "FeatureCollection", "features": [item("p1"), item("p2")]})
    write(folder / "deep" / "lines.ndjson", item("l1"), "", item("l2", None))
    write(folder / "deep" / "zipped.ndjson.gz", item("z1", None))
    write(folder / "catalog.json", {"type": "Catalog", "id": "root", "links": []})
    write(folder / "collection.json", {"type": "Collection", "id": "c", "title": "Given", "extent": {}})
    write(folder / "more.json", {"collections": [{"type": "Collection", "id": "d"}]})
    write(folder / "readme.txt", "not ours")
    report = await catalogue.load([folder])
    assert (report.files, report.items, report.collections, report.bad) == (7, 6, 2, 0)
    assert set(await everything(catalogue)) == {
        ("c", "one"), ("c", "p1"), ("c", "p2"), ("c", "l1"), ("lines", "l2"), ("zipped", "z1"),
    }  # fmt: skip
    names = {one["id"]: one.get("title") for one in await catalogue.collections()}
    assert names == {"c": "Given", "d": None, "lines": None, "zipped": None}


async def test_stac_geoparquet_is_loaded(catalogue, tmp_path):
    arrow = pytest.importorskip("stac_geoparquet.arrow")
    whole = item("p", stac_version="1.0.0", bbox=[1, 2, 1, 2], assets={}, links=[], stac_extensions=[])
    arrow.to_parquet(arrow.parse_stac_items_to_arrow([whole]), tmp_path / "items.parquet")
    report = await catalogue.load([tmp_path / "items.parquet"])
    assert (report.items, report.bad) == (1, 0)
    assert set(await everything(catalogue)) == {("c", "p")}


async def test_the_bytes_of_an_item_are_kept(catalogue, tmp_path):
    raw = (
        '{"id":"i","collection":"c","geometry":null,"properties":{"datetime":null,"n":1.50,"e":1E+2},'
        '"big":123456789012345678901234567890,"text":"\\u00e9/\\/"}'
    )
    await catalogue.load([write(tmp_path / "x.ndjson", raw)])
    assert msgspec.json.encode(await catalogue.item("c", "i")).decode() == raw


async def test_loading_again_takes_only_what_has_changed(catalogue, tmp_path):
    first = write(tmp_path / "in" / "a.ndjson", item("a1"), item("a2"))
    write(tmp_path / "in" / "b.ndjson", item("b1"))
    assert (await catalogue.load([tmp_path / "in"])).items == 3
    again = await catalogue.load([tmp_path / "in"])
    assert (again.items, again.unchanged) == (0, 2)
    os.utime(first, (1, 1))  # touched, not changed
    assert (await catalogue.load([tmp_path / "in"])).unchanged == 2
    write(first, item("a2", title="new"), item("a3"))
    changed = await catalogue.load([tmp_path / "in"])
    assert (changed.items, changed.added, changed.unchanged) == (2, 0, 1)
    assert {name for _, name in await everything(catalogue)} == {"a2", "a3", "b1"}
    assert (await catalogue.load([tmp_path / "in"])).unchanged == 2


async def test_of_items_that_repeat_the_last_wins_and_they_are_counted(catalogue, tmp_path):
    report = await catalogue.load([write(tmp_path / "x.ndjson", item("i", n=1), item("j"), item("i", n=2))])
    assert (report.items, report.added, report.replaced) == (3, 2, 1)
    assert msgspec.json.decode((await catalogue.item("c", "i"))["n"]) == 2


BAD = ["{", "[]", '"text"', json.dumps(item("")), json.dumps(item("i", properties=5)), '{"type":"Feature"}', "\udcff"]


async def test_a_bad_line_is_named_and_skipped_or_is_the_end(catalogue, tmp_path):
    file = tmp_path / "x.ndjson"
    file.write_text("\n".join([json.dumps(item("good")), *BAD]), errors="surrogateescape")
    report = await catalogue.load([file])
    assert (report.items, report.bad) == (1, len(BAD))
    assert [line.split(": ")[0] for line in report.told] == [f"{file}:{n}" for n in range(2, len(BAD) + 2)]
    file.write_text("\n".join([json.dumps(item("other")), "{"]))
    with pytest.raises(UnreadableInput, match=f"{file}:2"):
        await catalogue.load([file], strict=True)
    assert await catalogue.item("c", "other") is None, "a file is taken whole or not at all"


async def test_a_path_that_is_not_there_or_not_ours_is_refused(catalogue, tmp_path):
    with pytest.raises(UnreadableInput, match="no such"):
        await catalogue.load([tmp_path / "nowhere.json"])
    with pytest.raises(UnreadableInput, match="kind"):
        await catalogue.load([write(tmp_path / "x.tif", "x")])
    truncated = tmp_path / "t.ndjson.gz"
    truncated.write_bytes(gzip.compress(json.dumps(item("i")).encode())[:-9])
    with pytest.raises(UnreadableInput, match=r"t\.ndjson\.gz"):
        await catalogue.load([truncated])


async def test_a_derived_collection_has_the_extent_of_its_items(catalogue, tmp_path):
    far = {"type": "Point", "coordinates": [10, -20]}
    late = {"datetime": None, "start_datetime": "2021-01-01T00:00:00Z", "end_datetime": "2021-02-01T00:00:00Z"}
    await catalogue.load([write(tmp_path / "x.ndjson", item("a"), item("b", geometry=far, properties=late))])
    (collection,) = await catalogue.collections()
    assert collection["extent"] == {
        "spatial": {"bbox": [[1.0, -20.0, 10.0, 2.0]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", "2021-02-01T00:00:00Z"]]},
    }


async def test_a_file_that_is_no_database_is_told(tmp_path):
    broken = write(tmp_path / "c.db", "this is no database, but long enough to be taken for one" * 50)
    with pytest.raises(SiteUnavailable, match=str(broken)):
        async with SqliteCatalogue(broken):
            pass


async def test_progress_is_told(catalogue, tmp_path):
    told = []
    for name in "ab":
        write(tmp_path / "in" / f"{name}.ndjson", *(item(f"{name}{n}") for n in range(1_500)))
    await catalogue.load([tmp_path / "in"], progress=told.append)
    assert [one.items for one in told] == sorted(one.items for one in told)
    assert (told[-1].files_done, told[-1].items, told[-1].bytes_done) == (2, 3_000, told[-1].bytes)


async def test_all_real_items_load_and_page_out_exactly(catalogue):
    data = Path(os.environ.get("LAKEGATE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "stac" / "items"
    if not data.is_dir():
        pytest.skip(f"no real items at {data}; set LAKEGATE_DATA")
    files = sorted(data.rglob("*.ndjson.gz"))[::6]
    expected = {}
    for file in files:
        with gzip.open(file) as lines:
            for line in lines:
                one = json.loads(line)
                one.setdefault("collection", None)
                one["collection"] = one["collection"] or file.name.removesuffix(".ndjson.gz")
                if one["id"]:
                    expected[one["collection"], one["id"]] = one
    await catalogue.load(files)
    found = await everything(catalogue)
    assert found.keys() == expected.keys()
    assert all(json.loads(msgspec.json.encode(found[key])) == expected[key] for key in expected)
