"""``lakegate search --to``: a whole search in a file, interrupted and taken up again."""

import asyncio
import gzip
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from export_lake import COUNT, many_scenes, small_lake
from federated_lake import TOKEN, Client

from edges.geoparquet.read import about, read_geoparquet

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, Any]]:
    return many_scenes()


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def started(
    client: Client, *arguments: str, command: tuple[str, ...] = ("-m", "gateway", "search")
) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKEGATE")}
    environment |= {"LAKEGATE_URL": client.url, "LAKEGATE_TOKEN": TOKEN, "COLUMNS": "200"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command, *arguments),
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> Ended:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def search(client: Client, *arguments: str) -> Ended:
    return await ended(await started(client, *arguments))


def ids(lines: bytes) -> list[str]:
    return [json.loads(line)["id"] for line in lines.splitlines()]


def left_beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


async def test_a_search_comes_into_a_file_of_each_kind(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path) as (client, _):
        wanted = [each["id"] for page in [await client.post({"limit": 20_000})] for each in page[1]["features"]]
        assert len(wanted) == COUNT
        for name in ("x.ndjson", "x.ndjson.gz", "x.parquet"):
            done = await search(client, "--to", str(tmp_path / name), "--json")
            assert done.code == 0, done.err
            told = json.loads(done.out)
            assert (told["items"], told["complete"], told["missing"], told["taken_up_at"]) == (COUNT, True, [], 0)
        assert ids((tmp_path / "x.ndjson").read_bytes()) == wanted
        assert ids(gzip.decompress((tmp_path / "x.ndjson.gz").read_bytes())) == wanted
        assert [each["id"] for each in read_geoparquet(tmp_path / "x.parquet")] == wanted
        assert about(tmp_path / "x.parquet")["export"]["complete"] is True
        assert left_beside(tmp_path) == []


async def test_options_narrow_an_export_and_a_wrong_name_is_refused(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path) as (client, _):
        file = tmp_path / "x.ndjson"
        done = await search(client, "--to", str(file), "--collections", "c", "--max-items", "7")
        assert (done.code, done.out) == (0, "")
        assert "7 items in" in done.err
        assert len(ids(file.read_bytes())) == 7
        wrong = await search(client, "--to", str(tmp_path / "x.csv"))
        assert wrong.code == 2
        assert ".parquet, .ndjson, .ndjson.gz" in wrong.err
        nowhere = await search(client, "--to", str(tmp_path / "no" / "x.ndjson"))
        assert nowhere.code == 1
        assert "No such file or directory" in nowhere.err
        refused = await search(client, "--to", str(file), "--filter", "eo:cloud_cover <")
        assert refused.code == 3
        assert "filter" in refused.err
        assert left_beside(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("name", ["x.ndjson", "x.parquet"])
async def test_an_interrupted_export_goes_on_where_it_stood(
    scenes: list[Any], tmp_path: Path, number: signal.Signals, name: str
) -> None:
    file = tmp_path / name
    state = tmp_path / f".{name}.part.json"
    async with small_lake(scenes, tmp_path) as (client, front):
        await search(client, "--to", str(tmp_path / "first.ndjson"))  # after which all that is learnt is known
        before = front.searches
        whole = await search(client, "--to", str(tmp_path / "whole.ndjson"))
        assert whole.code == 0
        front.held_after = 2 * front.searches - before - 1
        process = await started(client, "--to", str(file))
        async with asyncio.timeout(30):
            while not state.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
            await front.waiting.wait()
        process.send_signal(number)
        stopped = await ended(process)
        front.go_on()
        assert not file.exists()
        if number == signal.SIGINT:
            assert stopped.code == 130
            assert "the same command goes on" in stopped.err
            assert "Traceback" not in stopped.err
        kept = json.loads(state.read_text())["items"]
        assert 0 < kept < COUNT
        done = await search(client, "--to", str(file), "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["taken_up_at"] == kept
    found = [each["id"] for each in read_geoparquet(file)] if name == "x.parquet" else ids(file.read_bytes())
    assert found == ids((tmp_path / "whole.ndjson").read_bytes())
    assert left_beside(tmp_path) == []


async def test_another_search_does_not_go_on_from_the_part_of_this_one(scenes: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    (tmp_path / ".x.ndjson.part").write_text("not of this search\n")
    point = {"search": {"url": "other"}, "items": 1, "bytes": 19, "resume": "abc"}
    (tmp_path / ".x.ndjson.part.json").write_text(json.dumps(point))
    async with small_lake(scenes, tmp_path) as (client, _):
        done = await search(client, "--to", str(file), "--collections", "c", "--json")
    assert json.loads(done.out)["taken_up_at"] == 0
    assert len(ids(file.read_bytes())) == COUNT // 2


async def test_a_missing_site_is_told_with_its_own_code(scenes: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    async with small_lake(scenes, tmp_path) as (client, front):
        front.failing_after = front.searches
        done = await search(client, "--to", str(file), "--json")
        assert done.code == 5
        assert json.loads(done.out)["missing"] == ["b"]
        assert "Missing: b" in done.err
        assert about(file)["export"]["missing"] == ["b"]
        strict = await search(client, "--to", str(file), "--strict")
        assert strict.code == 1
        assert "Traceback" not in strict.err


async def test_a_full_disk_is_said_in_plain_words_and_what_came_is_kept(scenes: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    async with small_lake(scenes, tmp_path) as (client, _):
        one = await search(client, "--to", str(tmp_path / "one.ndjson"))
        assert one.code == 0
        room = (tmp_path / "one.ndjson").stat().st_size * 2 // 3
        limited = (
            "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2); "
        )
        limited += "runpy.run_module('gateway', run_name='__main__')"
        stopped = await ended(await started(client, "--to", str(file), command=("-c", limited, str(room), "search")))
        assert stopped.code == 1
        assert "is full; once there is room, the same command goes on" in stopped.err
        assert "Traceback" not in stopped.err
        done = await search(client, "--to", str(file), "--json")
        assert json.loads(done.out)["taken_up_at"] > 0
    assert file.read_bytes() == (tmp_path / "one.ndjson").read_bytes()


async def test_a_search_is_explained_as_a_table_and_as_json(scenes: list[Any], tmp_path: Path) -> None:
    async with small_lake(scenes, tmp_path) as (client, _):
        shown = await search(client, "--explain", "--collections", "d")
        assert shown.code == 0, shown.err
        assert "checked here" in shown.out
        assert "collections, sortby" in shown.out
        told = json.loads((await search(client, "--explain", "--json")).out)
        assert told["requests"]
