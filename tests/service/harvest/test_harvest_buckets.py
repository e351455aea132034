"""From bucket to bucket: inside one service by the service itself, between two through us, checked either way."""

import asyncio
import os
import uuid
from pathlib import Path

import msgspec
import pytest
from harvest_outcome import all_arrived
from harvest_scene import HUB, PART, Scene, crc64, make_item, sha256, storage
from s3_bucket import make_buckets

from edges.lines.lines import Lines
from edges.storage.s3 import S3Store
from harvest.model import FoundItem

pytestmark = pytest.mark.service

SIZES = {"small": 25_000, "middle": 3 << 20, "large": 2 * PART + 4321}


@pytest.fixture(params=["inside one service", "between two"])
async def hub(request: pytest.FixtureRequest, scene: Scene) -> Scene:
    """A scene whose hub has a bucket, of the target's own service or of another."""
    endpoint = scene.endpoint if request.param == "inside one service" else request.getfixturevalue("other")
    bucket = f"hub{uuid.uuid4().hex[:12]}"
    await asyncio.to_thread(make_buckets, endpoint, bucket)
    scene.hub = (endpoint, bucket)
    return scene


async def hold(scene: Scene, objects: dict[str, bytes]) -> None:
    """Put objects into the hub's bucket, by their keys."""
    assert scene.hub is not None
    async with Lines() as lines, S3Store(site=HUB, settings=storage(*scene.hub), lines=lines) as store:
        for key, body in objects.items():
            await store.put(key, body)


def asset_at(scene: Scene, key: str, **told: str | int) -> dict[str, str | int]:
    """Return an asset whose file is an object of the hub's bucket."""
    assert scene.hub is not None
    return {"href": f"s3://{scene.hub[1]}/{key}", **told}


async def publish(scene: Scene, *, told: bool = True, wrong: str = "") -> dict[str, bytes]:
    bodies = {name: os.urandom(size) for name, size in SIZES.items()}
    held = {name: body[:-1] + bytes([body[-1] ^ 1]) if name == wrong else body for name, body in bodies.items()}
    await hold(scene, {f"in/{name}.tif": body for name, body in held.items()})
    assets = {}
    for name, body in bodies.items():
        extra = {"file:checksum": sha256(body), "file:size": len(body)} if told else {}
        assets[name] = asset_at(scene, f"in/{name}.tif", **extra)
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", assets)))
    return bodies


async def arrives(scene: Scene, name: str, key: str, body: bytes, checksum: str) -> None:
    """Order an object that the hub holds, told by an item as its one asset; it comes as it is."""
    asset = asset_at(scene, key, **{"file:checksum": checksum, "file:size": len(body)})
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", {name: asset})))
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id, 40)).state == "OK"
        item = await live.catalogue.plain("s2", "i1")
        assert await live.read(item["assets"][name]["href"]) == body


@pytest.mark.parametrize("told", [True, False])
async def test_objects_of_a_bucket_arrive_whole(hub, told):
    bodies = await publish(hub, told=told)
    async with hub.running() as live:
        order = await live.settled((await live.order()).id, 40)
        assert (order.state, order.message) == ("OK", "")
        await all_arrived(live, bodies)
        total = sum(map(len, bodies.values()))
        taken = await live.taken()
        assert (taken["storage_bytes"], taken["harvest_bytes"]) == ((total, 0), (total, 0))


async def test_an_object_of_a_bucket_that_is_not_what_was_announced_is_never_visible(hub):
    bodies = await publish(hub, wrong="middle")
    async with hub.running() as live:
        order = await live.settled((await live.order()).id, 40)
        assert order.state == "STUCK"
        assert len([found async for found in live.store.list_objects()]) == len(bodies) - 1
        assert await live.store.list_uploads() == []
        assert (await live.taken())["storage_bytes"] == (SIZES["small"] + SIZES["large"], 0)


async def test_a_large_object_of_another_services_bucket_goes_in_several_lanes(scene, other, tmp_path: Path):
    bucket = f"hub{uuid.uuid4().hex[:12]}"
    await asyncio.to_thread(make_buckets, other, bucket)
    scene.hub = (other, bucket)
    scene.settings = msgspec.structs.replace(scene.settings, part_bytes=3 * PART, parts_at_once=3, stall_seconds=5.0)
    body = os.urandom(7 * PART + 4321)
    await hold(scene, {"in/large.tif": body})
    await arrives(scene, "large", "in/large.tif", body, crc64(body))


async def test_a_key_is_taken_as_it_stands_also_with_what_ends_paths_of_web_addresses(hub):
    body = os.urandom(25_000)
    await hold(hub, {"in/a?b#c.tif": body, "in/a": os.urandom(25_000)})
    await arrives(hub, "B02", "in/a?b#c.tif", body, sha256(body))
