"""``lakegate collection`` as a user runs it, against a real gateway."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from contributed_lake import Lake, a_collection, an_item, lake
from lakegate_process import Ended, lakegate_ended

pytestmark = pytest.mark.service


@pytest_asyncio.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Lake]:
    async with lake(tmp_path / "state") as gateway:
        yield gateway


async def collection(gate: Lake, *arguments: str, user: str = "ada") -> Ended:
    return await lakegate_ended("collection", *arguments, "--url", gate.url, LAKEGATE_TOKEN=f"token-of-{user}")


def written(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


async def test_a_collection_is_made_loaded_shared_listed_and_removed(gate: Lake, tmp_path: Path) -> None:
    made = await collection(gate, "create", written(tmp_path / "c.json", a_collection("mine")))
    assert (made.code, made.out) == (0, "mine: made, private\n"), made.err
    again = await collection(gate, "create", str(tmp_path / "c.json"))
    assert again.code == 3
    assert "taken" in again.err

    folder = tmp_path / "items"
    folder.mkdir()
    written(folder / "one.json", an_item("a1", "mine"))
    written(folder / "more.ndjson", "\n".join(json.dumps(an_item(f"b{n}", "mine")) for n in range(700)))
    with gzip.open(folder / "packed.ndjson.gz", "wt") as packed:
        packed.write(json.dumps(an_item("c1", "mine")) + "\n" + json.dumps(an_item("c2", "elsewhere")))
    loaded = await collection(gate, "load", "mine", str(folder), "--json")
    assert loaded.code == 5, loaded.err
    told = loaded.json()
    assert (told["added"], told["replaced"], told["bad"]) == (702, 0, 1)
    assert told["told"][0].startswith(f"{folder / 'packed.ndjson.gz'}, item 2: collection:")

    atomic = await collection(gate, "load", "mine", str(folder), "--atomic")
    assert atomic.code == 3
    assert "nothing was written" in atomic.err

    shared = await collection(gate, "share", "mine", "root/eo/flood:write")
    assert shared.out == "mine: group, shared with root/eo/flood:write\n"
    assert len(await gate.carl.ids(ids=["a1", "c1"])) == 2
    listed = await collection(gate, "list", user="carl")
    assert "mine" in listed.out
    assert "read, write" in listed.out
    assert (await collection(gate, "visibility", "mine", "public")).code == 3
    assert (await collection(gate, "visibility", "mine", "private")).out == "mine: private\n"
    assert await gate.carl.ids(ids=["a1"]) == []

    assert (await collection(gate, "delete", "mine", "--yes", user="bob")).code == 3
    assert (await collection(gate, "delete", "mine", "--yes")).out == "mine: removed\n"
    assert (await collection(gate, "list", "--json")).json() == []


async def test_what_cannot_be_read_is_told_by_its_file(gate: Lake, tmp_path: Path) -> None:
    await gate.ada.call("POST", "/collections", a_collection("mine"))
    broken = written(tmp_path / "broken.ndjson", json.dumps(an_item("a", "mine")) + "\n{nonsense")
    ended = await collection(gate, "load", "mine", broken)
    assert ended.code == 5
    assert f"{broken}:2" in ended.err
    assert ended.out == "mine: 1 items added, 0 replaced, 1 bad\n"
    torn = tmp_path / "torn.ndjson.gz"
    torn.write_bytes(gzip.compress(b"x" * 10_000)[:40])
    assert (await collection(gate, "load", "mine", str(torn))).code == 1
    assert (await collection(gate, "load", "mine", str(tmp_path / "c.txt"))).code == 2
