"""Several parts of one object at once: faster where a source allows it, and right where it does not."""

import asyncio
import os
import signal

import msgspec
import pytest
from harvest_checkpoints import killed
from harvest_origin import Origin
from harvest_outcome import all_arrived
from harvest_scene import HUB, PART, Scene, crc64, make_item
from waiting import until

from edges.settings import PolitenessSettings
from harvest.model import FoundItem

pytestmark = pytest.mark.service

LANES = 3
SIZE = 7 * PART + 4321


@pytest.fixture
def wide(scene: Scene) -> Scene:
    """A scene whose objects go in several lanes, of parts as small as stores take."""
    changes = {"part_bytes": LANES * PART, "parts_at_once": LANES, "stall_seconds": 5.0}
    scene.settings = msgspec.structs.replace(scene.settings, **changes)
    return scene


def publish(scene: Scene, origin: Origin, *names: str, told: bool = True) -> dict[str, bytes]:
    bodies = {name: os.urandom(SIZE) for name in names or ("large",)}
    assets = {}
    for name, body in bodies.items():
        origin.add(f"{name}.tif", body)
        extra = {"file:size": len(body)} | ({"file:checksum": crc64(body)} if told else {})
        assets[name] = {"href": f"{origin.url}/{name}.tif", **extra}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", assets)))
    return bodies


async def all_is_right(live, bodies) -> None:
    item = await all_arrived(live, bodies)
    assert all(item["assets"][name]["file:checksum"] == crc64(body) for name, body in bodies.items())
    total = sum(map(len, bodies.values()))
    taken = await live.taken()
    assert taken["storage_bytes"] == (total, 0)
    assert taken["harvest_bytes"] == (total, 0)


def meet(origin: Origin, count: int) -> None:
    """Let nobody be sent anything before so many are being answered at once."""
    met = asyncio.Event()

    async def meeting() -> None:
        if origin.open >= count:
            met.set()
        await met.wait()

    origin.meeting = meeting


@pytest.mark.parametrize("told", [True, False])
async def test_one_large_object_is_read_in_several_lanes_at_once(wide, origin, told):
    bodies = publish(wide, origin, told=told)
    meet(origin, LANES)
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, bodies)
    assert origin.most_open == LANES
    ranges = [asked for _, asked in origin.requests if asked]
    assert len(set(ranges)) == len(ranges)


async def test_lanes_of_a_site_that_wants_few_connections_are_as_few(wide, origin):
    wide.politeness = {HUB: PolitenessSettings(connections=2)}
    bodies = publish(wide, origin)
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, bodies)
    assert origin.most_open <= 2


async def test_where_others_are_carried_too_each_object_has_one_lane(wide, origin):
    bodies = publish(wide, origin, "one", "two", "three")
    wide.settings = msgspec.structs.replace(wide.settings, workers=3)
    meet(origin, 3)
    async with wide.running() as live:
        order = await live.order()
        await until(lambda: origin.open >= 3, seconds=20)
        assert len({path for path, _ in origin.requests}) == 3
        assert (await live.settled(order.id, 30)).state == "OK"
        await all_is_right(live, bodies)


@pytest.mark.parametrize("nth", [1, 2, 5, 8])
@pytest.mark.parametrize("name", ["part-sent", "part-remembered"])
async def test_what_lanes_had_carried_before_a_kill_is_not_fetched_again(processes, wide, origin, name, nth):
    bodies = publish(wide, origin)
    async with wide.running(workers=0) as live:
        order = await live.order()
    assert await killed(processes, wide, order.id, name, nth) == -signal.SIGKILL
    before = len(origin.requests)
    async with wide.running(workers=1) as live:
        there = await live.store.list_uploads()
        kept = sum(part.size for part in await live.store.list_parts(*there[0])) if there else 0
        assert (await live.settled(order.id, 30)).state == "OK"
        await all_is_right(live, bodies)
    again = [asked for path, asked in origin.requests[before:] if path == "large.tif"]
    assert (
        len(again) <= -(-(SIZE - kept) // PART) + LANES
    )  # what is up is not asked for, but for what was not remembered


async def test_a_source_that_knows_no_ranges_is_read_in_one_lane(wide, origin):
    origin.ranges = False
    bodies = publish(wide, origin)
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, bodies)


async def test_a_source_without_strong_validator_is_asked_once(wide, origin):
    origin.etags = False
    bodies = publish(wide, origin)
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, bodies)
    assert len(origin.requests) == 1


async def test_a_source_that_refuses_further_connections_is_read_in_fewer_lanes(wide, origin):
    bodies = publish(wide, origin)
    first = True

    async def only_one(request, body, start):
        nonlocal first
        if first:
            first = False
            return await origin.send(request, body, start)
        return await origin.status(429, Retry_After="600")(request, body, start)

    origin.faults["large.tif"] = [only_one] * LANES
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, bodies)


async def test_a_source_that_changes_under_the_lanes_is_copied_as_it_is_now(wide, origin):
    publish(wide, origin, told=False)
    new = os.urandom(SIZE)

    async def changed(request, body, start):
        response = origin.begin(request, body, start)
        await response.prepare(request)
        origin.files["large.tif"] = new
        await response.write(body)
        return response

    origin.faults["large.tif"] = [changed]
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, {"large": new})


async def test_wrong_bytes_in_any_lane_are_never_visible(wide, origin):
    body = publish(wide, origin)["large"]
    origin.files["large.tif"] = body[: 4 * PART] + bytes([body[4 * PART] ^ 1]) + body[4 * PART + 1 :]
    async with wide.running() as live:
        order = await live.settled((await live.order()).id, 30)
        assert order.state == "STUCK"
        assert [found async for found in live.store.list_objects()] == []
        assert await live.store.list_uploads() == []
        assert (await live.taken())["storage_bytes"] == (0, 0)


async def test_lanes_that_break_off_are_mended_each_by_itself(wide, origin):
    bodies = publish(wide, origin)
    origin.faults["large.tif"] = [origin.reset_after(1_000_000), origin.reset_after(2_000_000), origin.status(503)]
    async with wide.running() as live:
        assert (await live.settled((await live.order()).id, 30)).state == "OK"
        await all_is_right(live, bodies)


async def test_a_cancelled_order_leaves_nothing_of_its_lanes(wide, origin):
    publish(wide, origin)
    origin.gate = asyncio.Event()
    async with wide.running() as live:
        order = await live.order()
        await live.uploads()
        await live.harvester.cancel(order.id)
        origin.gate.set()
        await live.settled(order.id, 20)
        assert await live.store.list_uploads() == []
        assert [found async for found in live.store.list_objects()] == []
        assert (await live.taken())["storage_bytes"] == (0, 0)
