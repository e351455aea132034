"""A harvester is killed (SIGKILL) after each of its writes in turn; the next one goes on from there."""

import os
import signal

import pytest
from harvest_checkpoints import killed
from harvest_origin import Origin
from harvest_outcome import all_right
from harvest_scene import PART, Scene, publish_item

pytestmark = pytest.mark.service

SMALL = b"small" * 5000
LARGE_PARTS = 3
SIZE = (LARGE_PARTS - 1) * PART + 4321

WRITES = [
    ("upload-created", 1),
    ("upload-remembered", 1),
    ("part-sent", 1),
    ("part-sent", 2),
    ("part-remembered", 1),
    ("part-remembered", 3),
    ("checked", 1),
    ("checked", 2),
    ("put", 1),
    ("completed", 1),
    ("available", 1),
    ("available", 2),
    ("registered", 1),
    ("registration-remembered", 1),
    ("quota-settled", 1),
    ("order-finished", 1),
]
"""Each write that a harvest makes, and the how-manieth of its name."""

RESUMED = {
    ("upload-created", 1): [""],
    ("upload-remembered", 1): [""],
    ("part-sent", 1): [""],
    ("part-sent", 2): [f"bytes={PART}-"],
    ("part-remembered", 1): [f"bytes={PART}-"],
}
"""From where the large object is read again; in all other cases it is not."""


def publish(scene: Scene, origin: Origin) -> dict[str, bytes]:
    return publish_item(scene, origin, {"large": os.urandom(SIZE), "small": SMALL})


@pytest.mark.parametrize(("name", "nth"), WRITES, ids=[f"{name}-{nth}" for name, nth in WRITES])
async def test_a_harvest_killed_after_any_write_ends_right(processes, scene, origin, name, nth):
    bodies = publish(scene, origin)
    async with scene.running(workers=0) as live:
        order = await live.order()
    assert await killed(processes, scene, order.id, name, nth) == -signal.SIGKILL
    async with scene.running(workers=1) as live:
        ended = await live.settled(order.id)
        assert (ended.state, ended.progress.percent) == ("OK", 100)
        await all_right(live, bodies)
    resumed = [asked for path, asked in origin.requests if path == "large.tif"][1:]
    assert resumed == RESUMED.get((name, nth), [])
