"""Exports: everything that a search finds, as one stream, whatever happens on the way."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq
import pytest
from export_lake import COUNT, many_scenes, small_lake
from federated_lake import Client, Name

from edges.geoparquet.read import about, read_geoparquet
from edges.stac.datetimes import parse_instant

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, Any]]:
    return many_scenes()


async def export(client: Client, **parameters: Any) -> list[Any]:
    async with client.session.get(f"{client.url}/search/export", params=parameters) as response:
        assert response.status == 200, await response.text()
        return [json.loads(line) for line in (await response.read()).splitlines()]


def names(records: list[Any]) -> list[Name]:
    return [(each["collection"], each["id"]) for each in records if each["type"] == "Feature"]


async def test_an_export_gives_what_a_walk_over_the_pages_gives(lake: Client) -> None:
    body = {"collections": ["landsat-c2-l2", "sentinel-2-l2a"]}
    *found, end = await export(lake, collections="landsat-c2-l2,sentinel-2-l2a")
    assert names(found) == await lake.walk(**body, limit=1_000)
    assert end == {
        "type": "lakegate:export", "complete": True, "items": len(found), "missing": [], "resume": None,
    }  # fmt: skip


async def test_an_item_of_an_export_is_the_one_of_the_search(lake: Client) -> None:
    _, page = await lake.post({"collections": ["joplin"], "limit": 50})
    assert await export(lake, collections="joplin", records="items") == page["features"]


async def test_by_post_and_by_get_are_the_same_and_fields_hold(lake: Client) -> None:
    wanted = {"collections": ["joplin"], "fields": {"include": ["id"]}, "max_items": 7}
    async with lake.session.post(f"{lake.url}/search/export", json=wanted) as response:
        assert response.content_type == "application/x-ndjson"
        by_post = (await response.text()).splitlines()
    by_get = await export(lake, collections="joplin", fields="id", max_items=7)
    assert [each.get("id") for each in by_get[:-1]] == [json.loads(each).get("id") for each in by_post[:-1]]
    assert len(by_get) == 8
    assert "assets" not in by_get[0]
    assert by_get[-1]["resume"]
    assert not by_get[-1]["complete"]


async def test_every_checkpoint_takes_the_export_up_where_it_stands(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path) as (client, _):
        whole = names(await export(client))
        records = await export(client, records="checkpoints")
        points = [each for each in records if each["type"] == "lakegate:checkpoint"]
        assert len(points) == 2
        assert len(whole) == len(set(whole)) == COUNT
        for point in points:
            rest = await export(client, resume=point["resume"])
            assert names(rest) == whole[point["items"] :]
        first = await export(client, max_items=10)
        assert names(await export(client, resume=first[-1]["resume"], max_items=5)) == whole[10:15]


async def test_all_real_catalogues_come_back_from_geoparquet_as_they_were(lake: Client, tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    async with lake.session.get(f"{lake.url}/search/export", params={"format": "geoparquet"}) as response:
        assert response.status == 200
        assert response.content_type == "application/vnd.apache.parquet"
        assert response.headers["Lakegate-Export-Complete"] == "true"
        file.write_bytes(await response.read())
    lines = await export(lake, records="items")
    assert int(response.headers["Lakegate-Export-Items"]) == len(lines)
    for line, found in zip(lines, read_geoparquet(file), strict=True):
        assert comparable(found) == comparable(line)


INSTANTS = {"datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published"}


def comparable(value: Any, name: str = "") -> Any:
    """Return a value without null members, and with times as instants."""
    if isinstance(value, dict):
        return {key: comparable(member, key) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if name in INSTANTS and isinstance(value, str):
        try:
            return parse_instant(value)
        except ValueError:
            return value
    return value


async def test_what_does_not_fit_into_one_file_is_for_the_next(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path, export_bytes=1_000) as (client, _):
        found, token, files = [], None, 0
        while token is not None or not files:
            parameters = {"resume": token} if token else {}
            async with client.session.get(
                f"{client.url}/search/export", params=parameters, headers={"Accept": "application/vnd.apache.parquet"}
            ) as response:
                file = tmp_path / f"{files}.parquet"
                file.write_bytes(await response.read())
            found += names(list(read_geoparquet(file)))
            files += 1
            token = response.headers.get("Lakegate-Export-Resume")
            assert about(file)["export"]["resume"] == token
            assert pq.read_metadata(file).num_rows == int(response.headers["Lakegate-Export-Items"])
        assert files == 3
        assert found == names(await export(client))
        assert not list((tmp_path / "g" / "exports").iterdir())


async def test_a_site_that_fails_on_the_way_is_told_at_the_end(
    scenes: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.search.export.PAUSES_SECONDS", (0.0,))
    async with small_lake(scenes, tmp_path) as (client, front):
        await export(client, max_items=1)
        front.failing_after = front.searches + 1
        *found, end = await export(client)
        assert (end["complete"], end["missing"]) == (False, ["b"])
        assert len(found) == COUNT  # the other site has all of them
        front.failing_after = front.searches
        async with client.session.get(f"{client.url}/search/export", params={"strict": "true"}) as response:
            assert response.status == 502
            assert (await response.json())["title"] == "A site is missing"


async def test_a_strict_export_ends_at_a_failure_and_can_be_taken_up(
    scenes: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.search.export.PAUSES_SECONDS", (0.0,))
    async with small_lake(scenes, tmp_path) as (client, front):
        whole = names(await export(client))
        front.failing_after = front.searches + 1
        *found, end = await export(client, strict="true")
        assert 0 < len(found) < COUNT
        assert end["error"]["status"] == 502
        front.failing_after = 10**9
        rest = await export(client, strict="true", resume=end["resume"])
        assert names(found) + names(rest) == whole
        front.failing_after = front.searches + 1
        with pytest.raises(aiohttp.ClientPayloadError):  # without records, breaking off is the only way to tell
            await export(client, strict="true", records="items")


async def test_a_client_that_hangs_up_ends_the_walk_at_once(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path) as (client, front):
        await export(client, max_items=1)
        front.held = asyncio.Event()
        ended = asyncio.create_task(export(client))
        await asyncio.wait_for(front.waiting.wait(), 10)
        before = front.searches
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        front.held.set()
        front.held = None
        assert len(await export(client, records="items")) == COUNT
        assert front.searches < before + 8  # its own requests, and none of the export that nobody wanted


async def test_too_many_exports_of_one_user_are_refused(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path, exports=2) as (client, front):
        front.held = asyncio.Event()
        first = asyncio.create_task(export(client))
        await asyncio.wait_for(front.waiting.wait(), 10)
        async with client.session.get(f"{client.url}/search/export") as response:
            assert response.status == 429
            assert (await response.json())["title"] == "Too many exports"
        front.held.set()
        front.held = None
        assert len(await first) == COUNT + 1


@pytest.mark.parametrize(
    ("parameters", "status", "field"),
    [
        ({"format": "csv"}, 400, "format"),
        ({"records": "some"}, 400, "records"),
        ({"max_items": "0"}, 400, "max_items"),
        ({"max_items": "many"}, 400, "max_items"),
        ({"resume": "made-up"}, 400, "token"),
        ({"strict": "perhaps"}, 400, "strict"),
        ({"bbox": "1,2"}, 400, "bbox"),
    ],
)
async def test_a_wrong_value_is_named(lake: Client, parameters: dict[str, str], status: int, field: str) -> None:
    found, body = await lake.get("/search/export", **parameters)
    assert (found, body["field"]) == (status, field)


async def test_a_type_that_we_cannot_give_is_refused(lake: Client) -> None:
    async with lake.session.get(f"{lake.url}/search/export", headers={"Accept": "text/csv"}) as response:
        assert response.status == 406
