"""Bucket trees of user-generated data, at a real S3 server: read, read again, changed, and gone."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from contributed_lake import Lake, User, a_collection, an_item, lake
from s3_bucket import ACCESS, SECRET, rclone

from edges.settings import Secret, StorageSettings
from gateway.settings import TreeSettings

pytestmark = pytest.mark.service

NAME = "EO.XXX.YYY.ZZZ"


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Return the URL of an S3 server, and the folder that is its bucket ``data``."""
    folder = tmp_path / "s3" / "data"
    folder.mkdir(parents=True)
    with rclone(folder.parent, "--dir-cache-time", "0s") as endpoint:
        yield endpoint, folder


@pytest_asyncio.fixture
async def gate(bucket: tuple[str, Path], tmp_path: Path) -> AsyncIterator[Lake]:
    (tmp_path / "access").write_text(ACCESS)
    (tmp_path / "secret").write_text(SECRET)
    storage = StorageSettings(
        endpoint=bucket[0],
        bucket="data",
        access_key=Secret(file=str(tmp_path / "access")),
        secret_key=Secret(file=str(tmp_path / "secret")),
    )
    tree = TreeSettings(name="lumi", group="root/eo/flood", storage=storage, prefix="users/")
    async with lake(tmp_path / "state", trees=(tree,)) as gateway:
        yield gateway


def planted(folder: Path, name: str = NAME) -> Path:
    """Plant a tree of three items; return where its items are."""
    home = folder / "users" / name / "metadata"
    (home / "items").mkdir(parents=True)
    write(home / "collection.json", a_collection(name, title="A tree"))
    for number in range(3):
        write(home / "items" / f"i{number}.json", leaf(f"i{number}", name, day=1 + number))
    return home / "items"


def leaf(name: str, collection: str = NAME, **more: Any) -> dict[str, Any]:
    return an_item(name, collection, **more) | {"assets": {"data": {"href": f"data/2024/01/{name}/x y.tif"}}}


def write(path: Path, document: Any) -> None:
    path.write_bytes(document if isinstance(document, bytes) else msgspec.json.encode(document))


async def read(user: User, name: str = NAME, tree: str = "lumi") -> tuple[int, Any]:
    status, told, _ = await user.call("POST", f"/collections/{name}/tree", {"tree": tree})
    return status, told


def counts(told: Any) -> dict[str, Any]:
    return {name: told[name] for name in ("created", "read", "unchanged", "gone", "bad")}


async def test_a_tree_becomes_a_private_collection_with_absolute_addresses(
    gate: Lake, bucket: tuple[str, Path]
) -> None:
    planted(bucket[1])
    status, told = await read(gate.ada)
    assert status == 200, told
    assert counts(told) == {"created": True, "read": 3, "unchanged": 0, "gone": 0, "bad": 0}
    assert await gate.ada.ids() == ["i2", "i1", "i0"]
    assert await gate.bob.ids() == []
    item = await gate.ada.get(f"/collections/{NAME}/items/i0")
    assert item["assets"]["data"]["href"] == f"s3://data/users/{NAME}/data/2024/01/i0/x y.tif"
    assert (await gate.ada.get(f"/collections/{NAME}"))["title"] == "A tree"


async def test_read_again_only_what_changed_is_read_and_what_is_gone_goes(gate: Lake, bucket: tuple[str, Path]) -> None:
    items = planted(bucket[1])
    await read(gate.ada)
    assert await gate.ada.status("POST", f"/collections/{NAME}/items", an_item("by-hand", NAME)) == 201
    _, told = await read(gate.ada)
    assert counts(told) == {"created": False, "read": 0, "unchanged": 3, "gone": 0, "bad": 0}
    write(items / "i0.json", leaf("i0", snow=3))
    (items / "i1.json").unlink()
    write(items / "i9.json", leaf("i9", day=9))
    write(items.parent / "collection.json", a_collection(NAME, title="Another title"))
    _, told = await read(gate.ada)
    assert counts(told) == {"created": False, "read": 2, "unchanged": 1, "gone": 1, "bad": 0}
    assert set(await gate.ada.ids()) == {"i0", "i2", "i9", "by-hand"}
    assert (await gate.ada.get(f"/collections/{NAME}/items/i0"))["properties"]["snow"] == 3
    assert (await gate.ada.get(f"/collections/{NAME}"))["title"] == "Another title"


async def test_what_is_wrong_is_told_by_its_key_and_read_again(gate: Lake, bucket: tuple[str, Path]) -> None:
    items = planted(bucket[1])
    write(items / "broken.json", b"{")
    write(items / "out.json", leaf("out") | {"assets": {"data": {"href": "../../other/secret.tif"}}})
    write(items / "strange.json", leaf("strange", "ANOTHER"))
    _, told = await read(gate.ada)
    assert counts(told) == {"created": True, "read": 3, "unchanged": 0, "gone": 0, "bad": 3}
    assert {one["key"].rpartition("/")[2]: one["detail"].split(":")[0] for one in told["told"]} == {
        "broken.json": "document", "out.json": "assets.data.href", "strange.json": "collection",
    }  # fmt: skip
    write(items / "broken.json", leaf("mended", day=7))
    _, told = await read(gate.ada)
    assert (told["read"], told["bad"]) == (1, 2)


async def test_a_removed_collection_can_be_read_anew(gate: Lake, bucket: tuple[str, Path]) -> None:
    planted(bucket[1])
    await read(gate.ada)
    assert await gate.ada.status("DELETE", f"/collections/{NAME}") == 204
    _, told = await read(gate.ada)
    assert counts(told) == {"created": True, "read": 3, "unchanged": 0, "gone": 0, "bad": 0}
    assert len(await gate.ada.ids()) == 3


async def test_only_the_trees_group_reads_it_and_nobody_takes_over_anothers_collection(
    gate: Lake, bucket: tuple[str, Path]
) -> None:
    planted(bucket[1])
    assert (await read(gate.nobody))[0] == 401
    assert (await read(gate.bob))[0] == 403
    assert (await read(gate.ada, tree="none"))[0] == 404
    assert (await read(gate.ada, name="EO.NOT.THERE"))[0] == 404
    assert (await read(gate.ada, name="../x"))[0] == 404
    assert (await read(gate.ada))[0] == 200
    assert (await read(gate.carl))[0] == 409
    planted(bucket[1], "EO.WRONG")
    write(bucket[1] / "users" / "EO.WRONG" / "metadata" / "collection.json", a_collection("EO.OTHER"))
    assert (await read(gate.ada, name="EO.WRONG"))[0] == 400


async def test_a_real_tree_is_read_as_it_is(gate: Lake, bucket: tuple[str, Path]) -> None:
    root = Path(os.environ.get("LAKEGATE_DATA", Path(__file__).parents[4] / "shared" / "data"))
    source = root / "destine" / "usergenerated" / "metadata"
    if not source.is_dir():
        pytest.skip(f"no real tree at {source}; set LAKEGATE_DATA")
    for path in source.rglob("*.json"):
        target = bucket[1] / "users" / NAME / "metadata" / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    status, told = await read(gate.ada)
    assert status == 200, told
    assert (told["read"], told["bad"]) == (4, 0), told
    assert len(await gate.ada.ids(bbox=[-13, 35, 10, 60])) > 0
