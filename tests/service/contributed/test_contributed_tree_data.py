"""The data of bucket trees, at a real S3 server: given with the tree's keys, and never more than a collection's own."""

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

NAME, OTHER = "EO.XXX.YYY.ZZZ", "EO.OTHER"
REFUSED = (403, 404)
HREF = f"s3://data/users/{NAME}/data/x y.tif"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that is the bucket ``data``, with a tree of one item, and another one beside it."""
    made = tmp_path / "s3" / "data"
    for name in (NAME, OTHER):
        home = made / "users" / name
        (home / "metadata" / "items").mkdir(parents=True)
        (home / "data").mkdir()
        (home / "metadata" / "collection.json").write_bytes(msgspec.json.encode(a_collection(name)))
        item = an_item("i", name) | {"assets": {"data": {"href": "data/x y.tif"}}}
        (home / "metadata" / "items" / "i.json").write_bytes(msgspec.json.encode(item))
        (home / "data" / "x y.tif").write_bytes(data_of(name))
    return made


def data_of(name: str) -> bytes:
    return f"data of {name} ".encode() * 100


@pytest.fixture
def endpoint(folder: Path) -> Iterator[str]:
    with rclone(folder.parent, "--dir-cache-time", "0s") as url:
        yield url


@pytest_asyncio.fixture(params=[True])
async def gate(request: pytest.FixtureRequest, endpoint: str, tmp_path: Path) -> AsyncIterator[Lake]:
    """Return a gateway that gives the tree's data; with the parameter False, one that does not."""
    (tmp_path / "access").write_text(ACCESS)
    (tmp_path / "secret").write_text(SECRET)
    storage = StorageSettings(
        endpoint=endpoint,
        bucket="data",
        access_key=Secret(file=str(tmp_path / "access")),
        secret_key=Secret(file=str(tmp_path / "secret")),
    )
    tree = TreeSettings(name="lumi", group="root/eo/flood", storage=storage, prefix="users/", data=request.param)
    async with lake(tmp_path / "state", trees=(tree,)) as gateway:
        yield gateway


async def read(user: User, name: str = NAME) -> None:
    status, told, _ = await user.call("POST", f"/collections/{name}/tree", {"tree": "lumi"})
    assert status == 200, told


async def taken(user: User, item: str = "i", name: str = NAME) -> tuple[int, Any]:
    status, body, _ = await user.call("GET", f"/data/users/{name}/{item}/data")
    return status, body


async def shared(user: User, **groups: str) -> None:
    wanted = {"visibility": "group", "groups": {f"root/eo/{name}": right for name, right in groups.items()}}
    assert await user.status("PUT", f"/collections/{NAME}/sharing", wanted) == 200


async def test_the_data_of_a_tree_is_given_to_whom_its_collection_is_shared_with(gate: Lake) -> None:
    await read(gate.ada)
    assert await taken(gate.ada) == (200, data_of(NAME))
    part = await gate.ada.call("GET", f"/data/users/{NAME}/i/data", headers={"Range": "bytes=5-9"})
    assert (part[0], part[1]) == (206, data_of(NAME)[5:10])
    assert (await taken(gate.bob))[0] == 404
    await shared(gate.ada, flood="read")
    assert await taken(gate.carl) == (200, data_of(NAME))
    assert (await taken(gate.bob))[0] == 404
    assert await gate.ada.status("PUT", f"/collections/{NAME}/sharing", {"visibility": "private"}) == 200
    assert (await taken(gate.carl))[0] == 404


async def test_a_trees_keys_open_no_folder_but_the_collections_own(gate: Lake) -> None:
    await read(gate.ada)
    assert await gate.bob.status("POST", "/collections", a_collection(OTHER)) == 201  # made by hand, never read
    aims = {
        "sideways": f"s3://data/users/{OTHER}/data/x y.tif",
        "dotted": f"s3://data/users/{NAME}/../{OTHER}/data/x y.tif",
        "encoded": f"s3://data/users/{NAME}/%2E%2E/{OTHER}/data/x y.tif",
        "longer": f"s3://data/users/{NAME}.B/data/x y.tif",
        "bucket": f"s3://other/users/{NAME}/data/x y.tif",
    }
    for user, home in ((gate.ada, NAME), (gate.bob, OTHER)):
        for name, href in aims.items():
            item = an_item(name, home) | {"assets": {"data": {"href": href}}}
            assert await user.status("POST", f"/collections/{home}/items", item) == 201
            status, told = await taken(user, name, home)
            assert status in REFUSED, (home, name, told)
    assert await taken(gate.ada) == (200, data_of(NAME))


async def test_keys_do_not_pass_on_to_a_later_collection_of_the_same_name(gate: Lake) -> None:
    await read(gate.ada)
    assert await gate.ada.status("DELETE", f"/collections/{NAME}") == 204
    assert await gate.bob.status("POST", "/collections", a_collection(NAME)) == 201
    item = an_item("i", NAME) | {"assets": {"data": {"href": HREF}}}
    assert await gate.bob.status("POST", f"/collections/{NAME}/items", item) == 201
    assert (await taken(gate.bob))[0] in REFUSED
    assert await gate.bob.status("DELETE", f"/collections/{NAME}") == 204
    await read(gate.ada)
    assert await taken(gate.ada) == (200, data_of(NAME))


async def test_a_tree_read_into_a_strangers_collection_opens_nothing(gate: Lake) -> None:
    assert await gate.dora.status("POST", "/collections", a_collection(NAME)) == 201
    wanted = {"visibility": "group", "groups": {"root/eo": "write"}}
    assert await gate.dora.status("PUT", f"/collections/{NAME}/sharing", wanted) == 200
    await read(gate.ada)
    assert await gate.dora.ids() == ["i"]
    for user in (gate.dora, gate.ada):
        assert (await taken(user))[0] in REFUSED


@pytest.mark.parametrize("gate", [False], indirect=True)
async def test_the_data_of_a_tree_is_not_given_unless_an_operator_says_so(gate: Lake) -> None:
    await read(gate.ada)
    assert (await taken(gate.ada))[0] in REFUSED
