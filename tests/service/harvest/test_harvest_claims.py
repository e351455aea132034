"""A worker that has several small objects in hand: who loses one of them goes on with the others."""

import asyncio
import logging
import os
import time

import pytest
from harvest_origin import Origin
from harvest_outcome import all_arrived
from harvest_scene import Scene, publish_item
from waiting import until

from harvest.claims import as_rows
from harvest.errors import DatabaseUnavailable

pytestmark = pytest.mark.service

COUNT = 3


def publish(scene: Scene, origin: Origin) -> dict[str, bytes]:
    return publish_item(scene, origin, {f"b{number}": os.urandom(600_000) for number in range(COUNT)})


async def all_is_right(live, bodies) -> None:
    await all_arrived(live, bodies)
    total = sum(map(len, bodies.values()))
    assert (await live.taken())["storage_bytes"] == (total, 0)


async def test_whoever_loses_one_of_several_objects_stops_that_one_alone(scene, origin, caplog):
    bodies = publish(scene, origin)
    origin.gate = asyncio.Event()
    caplog.set_level(logging.INFO, logger="harvest.carrier")
    async with scene.running(workers=1) as live:
        order = await live.order()
        await until(lambda: origin.open == COUNT, seconds=20)
        soon = time.time() + 1.0
        await live.harvester._database.run(
            lambda c: c.change("objects_claim", rows=as_rows([(1,)]), until=soon)
        )  # by another worker
        live.harvester._carrier.nudge()
        await until(lambda: "an object was taken over" in caplog.messages, seconds=20)
        origin.gate.set()
        assert (await live.settled(order.id, 30)).state == "OK"
        await all_is_right(live, bodies)
    assert caplog.messages.count("an object was taken over") == 1
    assert len(origin.requests) == COUNT + 1


async def test_whoever_cannot_renew_stops_and_takes_all_up_again(scene, origin, monkeypatch):
    bodies = publish(scene, origin)
    origin.gate = asyncio.Event()
    async with scene.running(workers=1) as live:
        order = await live.order()
        await until(lambda: origin.open == COUNT, seconds=20)
        desk = live.harvester._carrier._desk
        renew = desk.renew

        async def gone(claim):
            monkeypatch.setattr(desk, "renew", renew)
            raise DatabaseUnavailable("the disk is gone for a moment")

        monkeypatch.setattr(desk, "renew", gone)
        live.harvester._carrier.nudge()
        await until(lambda: desk.renew is not gone, seconds=20)
        origin.gate.set()
        assert (await live.settled(order.id, 30)).state == "OK"
        await all_is_right(live, bodies)
