"""A process is killed (SIGKILL) between any two of its writes; another one goes on from there.

The writes are enumerated by a run that nobody kills. The everyday run kills after some of them, spread over all; with
``LAKEGATE_KILL=all`` after each.
"""

import asyncio
import os
import signal
import uuid

import msgspec
import pytest
from harvest_elsewhere import far
from harvest_outcome import all_right
from harvest_points import Points, chosen, ended, readings
from harvest_scene import HUB, PART, crc64, make_item, sha256, storage
from s3_bucket import make_buckets

from edges.lines.lines import Lines
from edges.storage.s3 import S3Store
from harvest.far_worker import work_for
from harvest.model import FoundItem

pytestmark = pytest.mark.service

LARGE = 2 * PART + 4321
SMALL = 25_000
SOME = 5
"""Points of an everyday run, for each kind of process."""


def near(scene, order_id, notes, fatal):
    """Carry an order from beside the database."""
    Points(notes, fatal).watch()

    async def work():
        async with scene.running(workers=1) as live:
            await live.settled(order_id, 30)

    asyncio.run(work())


def distant(url, run, token, notes, fatal):
    """Carry an order from far away."""
    Points(notes, fatal).watch()
    asyncio.run(work_for(url, run, token))


def publish(scene, origin, checksum=sha256):
    bodies = {"large": os.urandom(LARGE), "small": os.urandom(SMALL)}
    assets = {}
    for name, body in bodies.items():
        origin.add(f"{name}.tif", body)
        assets[name] = {"href": f"{origin.url}/{name}.tif", "file:checksum": checksum(body), "file:size": len(body)}
    item_id = f"i{len(scene.found)}"
    scene.found[:] = [FoundItem(site=HUB, item=make_item(item_id, assets))]
    scene.allowed[:] = [origin.url]
    return item_id, bodies


def twice(origin, notes, before):
    """Return how many bytes of the large object the second process asks for though the bucket had them at the kill."""
    sent = notes.count("bucket put_part")
    again = [asked for path, asked in origin.requests[before:] if path == "large.tif"]
    starts = [int(asked.removeprefix("bytes=").split("-")[0] or 0) if asked else 0 for asked in again]
    return max(0, sent * PART - min(starts)) if starts else 0


async def ordered_and_killed(processes, scene, fatal):
    """Kill a process that carries out a new order after a write; return the order, and the notes of the process."""
    async with scene.running(workers=0) as live:
        order = await live.order()
    notes = scene.folder / "notes"
    code = await ended(processes, near, scene.portable(), order.id, notes, fatal)
    written = notes.read_text().splitlines()
    assert code == (-signal.SIGKILL if len(written) >= fatal > 0 else 0)
    return order, written


async def finished(scene, order, item_id, bodies, checksum=sha256):
    """Let another process finish, and check all that it leaves."""
    async with scene.running(workers=1) as live:
        assert (await live.settled(order.id, 30)).state == "OK"
        await all_right(live, bodies, item_id, checksum)


async def killed_near(processes, scene, origin, fatal):
    """Kill a process after a write, and let another one finish; return the notes of the first."""
    item_id, bodies = publish(scene, origin)
    order, written = await ordered_and_killed(processes, scene, fatal)
    before = len(origin.requests)
    await finished(scene, order, item_id, bodies)
    assert twice(origin, written, before) <= PART
    return written


async def killed_far(processes, scene, origin, fatal):
    """Kill a far worker after a write; another of the same run finishes."""
    item_id, bodies = publish(scene, origin)
    notes = scene.folder / "notes"
    async with far(scene, plain=True) as there:
        order = await there.live.order()
        run = await there.run()
        code = await ended(processes, distant, run.url, run.run, run.token, notes, fatal)
        written, before = notes.read_text().splitlines(), len(origin.requests)
        assert code == (-signal.SIGKILL if len(written) >= fatal > 0 else 0)
        assert await ended(processes, distant, run.url, run.run, run.token, scene.folder / "second", 0) == 0
        assert (await there.live.settled(order.id, 30)).state == "OK"
        await all_right(there.live, bodies, item_id)
    assert twice(origin, written, before) <= PART
    return written


async def killed_in_lanes(processes, scene, origin, fatal):
    """Kill a process that carries several parts of an object at once, and let another one finish."""
    scene.settings = msgspec.structs.replace(scene.settings, part_bytes=2 * PART, parts_at_once=2)
    item_id, bodies = publish(scene, origin, crc64)
    order, written = await ordered_and_killed(processes, scene, fatal)
    await finished(scene, order, item_id, bodies, crc64)
    return written


async def publish_in_bucket(scene, endpoint):
    """Let the items of the hub lie in a bucket of a service."""
    bucket = f"hub{uuid.uuid4().hex[:12]}"
    await asyncio.to_thread(make_buckets, endpoint, bucket)
    scene.hub = (endpoint, bucket)
    bodies = {"large": os.urandom(LARGE), "small": os.urandom(SMALL)}
    assets = {}
    async with Lines() as lines, S3Store(site=HUB, settings=storage(*scene.hub), lines=lines) as store:
        for name, body in bodies.items():
            await store.put(f"in/{name}.tif", body)
            href = f"s3://{bucket}/in/{name}.tif"
            assets[name] = {"href": href, "file:checksum": sha256(body), "file:size": len(body)}
    scene.found[:] = [FoundItem(site=HUB, item=make_item("i0", assets))]
    return "i0", bodies


async def killed_between_buckets(processes, scene, endpoint, fatal):
    """Kill a process that copies from bucket to bucket, and let another one finish."""
    item_id, bodies = await publish_in_bucket(scene, endpoint)
    order, written = await ordered_and_killed(processes, scene, fatal)
    with readings() as read:
        await finished(scene, order, item_id, bodies)
    again = [start for key, start in read if key == "in/large.tif"]
    inside = endpoint == scene.endpoint  # the service copies; what we read, we read to check it
    assert inside or not again or written.count("bucket put_part") * PART - min(again) <= PART
    return written


KINDS = {
    "near": (killed_near, None),
    "far": (killed_far, None),
    "lanes": (killed_in_lanes, None),
    "between two services": (killed_between_buckets, "other"),
    "inside one service": (killed_between_buckets, "s3"),
}
"""How each kind of process is killed, and the service that its sources lie in, if they do not lie at an origin."""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_process_killed_between_any_two_writes_leaves_what_another_finishes(
    processes, scenes, origins, record_property, request, kind
):
    """One test of many kills: how many there are is known only after the first, which is none."""
    killed, service = KINDS[kind]
    endpoint = service and request.getfixturevalue(service)
    async with scenes() as scene, origins() as origin:
        written = await killed(processes, scene, endpoint or origin, 0)
    assert {each.split()[0] for each in written} >= {"bucket", "gateway" if kind == "far" else "database"}
    points = chosen(len(written), SOME)
    for fatal in points:
        async with scenes() as scene, origins() as origin:
            try:
                await killed(processes, scene, endpoint or origin, fatal)
            except BaseException as error:
                error.add_note(f"killed after write {fatal} of {len(written)}: {written[fatal - 1]}")
                raise
    record_property("kills", len(points))
    record_property("writes", len(written))
    print(f"\n{kind}: killed after {len(points)} of {len(written)} writes")
