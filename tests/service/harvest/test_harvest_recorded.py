"""Work on an object is known by ids of its own, in logs and as a span that tells how it ended."""

import logging

import pytest
from harvest_scene import HUB, make_item, sha256

from edges.request_ids import know_requests, traced
from gateway.tracing import Spans
from harvest.model import FoundItem

pytestmark = pytest.mark.service

BODY = b"0123456789"


def publish(scene, origin):
    """Publish an object that can be had, and one that cannot."""
    origin.add("here.tif", BODY)
    asset = {"file:checksum": sha256(BODY), "file:size": len(BODY)}
    assets = {name: {"href": f"{origin.url}/{name}.tif", **asset} for name in ("here", "gone")}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", assets)))


async def carried(scene):
    async with scene.running() as live:
        order = await live.order()
        await live.settled(order.id)


async def test_each_object_is_a_trace_that_tells_how_it_ended(scene, origin):
    told = []
    scene.recorded = Spans(export=told.append, share=1.0, sites={}).beginning
    publish(scene, origin)
    await carried(scene)
    assert {(each.name, each.kind) for each in told} == {("harvest object", "internal")}
    ends = {each.attributes["lakegate.end"]: each for each in told}
    assert {name: each.failed for name, each in ends.items()} == {"done": False, "failed": True}
    assert len({each.known.trace_id for each in told}) == len(told)
    assert all(each.start <= each.end and each.attributes["lakegate.site"] for each in told)
    assert traced() is None


async def test_where_nothing_is_recorded_the_logs_know_each_object(scene, origin, caplog):
    caplog.set_level(logging.INFO, logger="harvest")
    caplog.handler.addFilter(know_requests)
    publish(scene, origin)
    await carried(scene)
    [failure] = [each for each in caplog.records if each.message == "a source did not deliver"]
    assert len(failure.trace_id) == 32
    assert failure.request_id
