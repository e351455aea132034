"""Bulk loads: streamed, checked line by line, atomic where asked for, and unharmed by whatever ends them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from contributed_lake import Lake, User, a_collection, an_item, lake
from free_ports import free_port
from waiting import until

from gateway.settings import QuotaSettings
from quotas.model import Policy

pytestmark = pytest.mark.service
NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(items: Iterable[Any]) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else msgspec.json.encode(each) for each in items)


def many(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [an_item(f"i{n}", "mine", day=1 + n % 28, number=n) for n in range(start, start + count)]


async def load(user: User, body: bytes, kind: str = NDJSON["Content-Type"], **parameters: str) -> tuple[int, Any]:
    path = "/collections/mine/bulk"
    status, told, _ = await user.call("POST", path, body, {"Content-Type": kind}, **parameters)
    return status, told


@pytest_asyncio.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Lake]:
    async with lake(tmp_path / "state") as gateway:
        assert await gateway.ada.status("POST", "/collections", a_collection("mine")) == 201
        yield gateway


async def matched(user: User) -> int:
    return int((await user.call("POST", "/search", {"collections": ["mine"], "limit": 1}))[1]["numberMatched"])


async def test_lines_become_items_and_bad_ones_are_told(gate: Lake) -> None:
    body = lines([*many(1_200), b"{nonsense", b"", an_item("x", "elsewhere"), an_item("i3", "mine", again=1)])
    status, told = await load(gate.ada, body)
    assert status == 200, told
    assert {name: told[name] for name in ("lines", "added", "replaced", "bad")} == {
        "lines": 1_204, "added": 1_200, "replaced": 1, "bad": 2,
    }  # fmt: skip
    assert [each["line"] for each in told["told"]] == [1_201, 1_203]
    assert told["told"][1]["detail"].startswith("collection:")
    assert await matched(gate.ada) == 1_200
    assert (await gate.ada.get("/collections/mine/sharing"))["items"] == 1_200


async def test_the_same_load_again_changes_nothing(gate: Lake) -> None:
    for added, replaced in ((700, 0), (0, 700)):
        _, told = await load(gate.ada, lines(many(700)))
        assert (told["added"], told["replaced"]) == (added, replaced)
    before = await gate.ada.get("/collections/mine/sharing")
    await load(gate.ada, lines(many(700)))
    assert await gate.ada.get("/collections/mine/sharing") == before


async def test_an_atomic_load_is_all_or_nothing(gate: Lake) -> None:
    status, told = await load(gate.ada, lines([*many(600), b"{}"]), atomic="true")
    assert status == 422, told
    assert told["loaded"]["told"] == [{"line": 601, "detail": "type: None; expected 'Feature'"}]
    assert await matched(gate.ada) == 0
    status, told = await load(gate.ada, lines(many(600)), atomic="true")
    assert (status, told["added"]) == (200, 600)


async def test_geoparquet_is_loaded_and_what_is_none_is_refused(gate: Lake, tmp_path: Path) -> None:
    source, target = tmp_path / "items.ndjson", tmp_path / "items.parquet"
    source.write_bytes(lines(many(50)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edges.geoparquet", str(source), str(target), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    kind = "application/vnd.apache.parquet"
    status, told = await load(gate.ada, target.read_bytes(), kind)
    assert (status, told["added"], told["bad"]) == (200, 50, 0), told
    item = await gate.ada.get("/collections/mine/items/i7")
    assert item["properties"]["number"] == 7
    status, told = await load(gate.ada, b"PAR1nonsensePAR1", kind)
    assert status == 400
    assert "geoparquet" in told["detail"]


async def test_a_private_collection_of_geoparquet_is_seen_by_its_owner_alone_as_data_access(
    gate: Lake, tmp_path: Path
) -> None:
    source, target = tmp_path / "items.ndjson", tmp_path / "items.parquet"
    source.write_bytes(lines(many(30)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edges.geoparquet", str(source), str(target), stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    assert (await load(gate.ada, target.read_bytes(), "application/vnd.apache.parquet"))[0] == 200
    seen: list[str] = []
    body: Any = {"collections": ["mine"], "limit": 7}
    while body is not None:
        status, page, _ = await gate.ada.call("POST", "/stac/v2/search", body)
        assert (status, page["numberMatched"]) == (200, 30), page
        seen += [each["id"] for each in page["features"]]
        body = next((each["body"] for each in page["links"] if each["rel"] == "next"), None)
    assert sorted(seen) == sorted(f"i{n}" for n in range(30))
    own = await gate.ada.get("/stac/v2/collections/mine/items/i7")
    assert own["properties"]["storage:tier"] == "online"
    for other in (gate.bob, gate.carl, gate.dora):
        assert await other.status("GET", "/stac/v2/collections/mine") == 404
        assert await other.status("GET", "/stac/v2/collections/mine/items/i7") == 404
        assert await other.status("GET", "/stac/v2/collections/mine/queryables") == 404
        page = (await other.call("POST", "/stac/v2/search", {"collections": ["mine"]}))[1]
        assert (page.get("features", []), page.get("numberMatched", 0)) == ([], 0)
        assert await other.status("GET", own["assets"]["data"]["href"].removeprefix(gate.url)) == 404


async def test_who_may_not_fill_it_is_told_before_anything_is_read(gate: Lake) -> None:
    assert (await load(gate.bob, lines(many(2))))[0] == 404
    assert (await load(gate.nobody, lines(many(2))))[0] == 401
    assert (await load(gate.ada, lines(many(2)), "text/csv"))[0] == 415
    assert (await load(gate.ada, lines(many(2)), atomic="perhaps"))[0] == 400


async def test_bounds_hold(tmp_path: Path) -> None:
    async with lake(tmp_path / "state", bulk_bytes=100_000, body_bytes=5_000) as gate:
        await gate.ada.call("POST", "/collections", a_collection("mine"))
        status, told = await load(gate.ada, lines(many(1_000)))
        assert status == 413, told
        status, told = await load(gate.ada, b"x" * 90_000)
        assert status == 400
        assert "5000 bytes" in told["detail"]


async def test_a_load_that_meets_its_quota_tells_how_far_it_came(tmp_path: Path) -> None:
    policy = Policy(name="disk", group="root/eo", resource="storage_bytes", kind="stock", amount=250_000)
    async with lake(tmp_path / "state", quotas=QuotaSettings(policies=(policy,))) as gate:
        await gate.ada.call("POST", "/collections", a_collection("mine"))
        status, told = await load(gate.ada, lines(many(2_000)))
        assert status in (422, 429), told
        assert told["loaded"]["added"] == await matched(gate.ada) == 500


async def test_two_load_at_once_and_nothing_is_lost(gate: Lake) -> None:
    shared = {"visibility": "group", "groups": {"root/eo/flood": "write"}}
    await gate.ada.call("PUT", "/collections/mine/sharing", shared)
    loads = [load(gate.ada, lines(many(1_500))), load(gate.carl, lines(many(1_500, start=1_000)))]
    assert [status for status, _ in await asyncio.gather(*loads)] == [200, 200]
    assert await matched(gate.ada) == 2_500
    assert (await gate.ada.get("/collections/mine/sharing"))["items"] == 2_500


@asynccontextmanager
async def doomed(state: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a gateway in a process of its own, until it is killed or no longer wanted."""
    program = Path(__file__).parent / "doomed_gateway.py"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), str(state), str(port)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(program.parents[2])},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(300):
            assert (await process.stdout.readline()).startswith(b"http")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("atomic", ["false", "true"])
async def test_a_gateway_killed_in_the_middle_has_whole_batches_or_nothing(tmp_path: Path, atomic: str) -> None:
    state, port = tmp_path / "state", free_port()
    items = many(6_000)
    async with aiohttp.ClientSession() as session:
        ada = Lake(f"http://127.0.0.1:{port}", session).ada
        async with doomed(state, port) as process:
            assert await ada.status("POST", "/collections", a_collection("mine")) == 201
            going = asyncio.create_task(load(ada, lines(items), atomic=atomic))

            async def begun() -> bool:
                return going.done() or await matched(ada) >= (1_000 if atomic == "false" else 0)

            await until(begun)
            process.kill()
            await process.wait()
            await asyncio.gather(going, return_exceptions=True)
        async with doomed(state, port):
            there = await matched(ada)

            async def counted() -> bool:
                return bool((await ada.get("/collections/mine/sharing"))["items"] == there)

            await until(counted)
            assert there % 500 == 0 if atomic == "false" else there in (0, 6_000)
            status, told = await load(ada, lines(items), atomic=atomic)
            assert status == 200, told
            assert told["added"] + told["replaced"] == 6_000
            assert told["replaced"] == there
            assert await matched(ada) == 6_000
            assert (await ada.get("/collections/mine/sharing"))["items"] == 6_000
