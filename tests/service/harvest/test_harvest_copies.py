"""Orders against a real S3 service, from a source over HTTP that misbehaves on request."""

import asyncio
import os

import msgspec
import pytest
from aiohttp import web
from harvest_scene import CHARGE, EDGE, GROUP, HUB, PART, crc64, make_item, policies, sha256

from edges.errors import InvalidInput
from edges.model import Query
from harvest.errors import KeyReused, OrderRefused, TargetRefused
from harvest.model import FoundItem, JobFilter, OrderRequest
from quotas.errors import QuotaExceeded

pytestmark = pytest.mark.service

SMALL = b"pixels" * 1000


def found(item, site=HUB):
    return FoundItem(site=site, item=item)


def publish(scene, origin, body, *, path="d/B02.tif", told=True, item_id="i1", asset="B02"):
    origin.add(path, body)
    extra = {"file:checksum": sha256(body), "file:size": len(body)} if told else {}
    item = make_item(item_id, {asset: {"href": f"{origin.url}/{path}", "type": "image/tiff", **extra}})
    scene.found.append(found(item))
    return item


async def copied(live, body, item_id="i1", asset="B02"):
    item = await live.catalogue.plain("s2", item_id)
    assert item is not None
    copy = item["assets"][asset]
    assert copy["file:size"] == len(body)
    assert copy["file:checksum"] in (sha256(body), crc64(body))
    assert await live.read(copy["href"]) == body
    return item


async def nothing_left(live):
    assert await live.store.list_uploads() == []
    assert {resource: reserved for resource, (_, reserved) in (await live.taken()).items()} == {
        "harvest_bytes": 0,
        "storage_bytes": 0,
        "harvest_jobs": 0,
    }


async def test_a_small_object_arrives_and_its_item_is_registered_with_the_origin_as_alternate(scene, origin):
    original = publish(scene, origin, SMALL)
    async with scene.running() as live:
        order = await live.settled((await live.order()).id)
        assert (order.state, order.progress.percent) == ("OK", 100)
        item = await copied(live, SMALL)
        asset = item["assets"]["B02"]
        assert asset["alternate"][HUB]["href"] == original["assets"]["B02"]["href"]
        assert asset["storage:refs"] == [EDGE]
        assert item["properties"].pop("storage:schemes")[EDGE]["bucket"] == scene.bucket
        assert item["properties"] == original["properties"]
        assert (item["id"], item["collection"]) == ("i1", "s2")
        taken = await live.taken()
        assert taken["harvest_bytes"] == taken["storage_bytes"] == (len(SMALL), 0)
        await nothing_left(live)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART + 12345])
async def test_objects_of_any_size_arrive_whole_whether_or_not_the_item_tells_their_size(scene, origin, size):
    body = os.urandom(size)
    publish(scene, origin, body, told=size % 2 == 0)
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id)).state == "OK"
        await copied(live, body)
        await nothing_left(live)


async def test_resets_at_any_byte_are_mended_without_fetching_twice(scene, origin):
    body = os.urandom(2 * PART + 99)
    publish(scene, origin, body)
    origin.faults["d/B02.tif"] = [origin.reset_after(n) for n in (1, PART - 7, 300_000, 0, 4_000_001)]
    scene.settings = msgspec.structs.replace(scene.settings, attempts=5)
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id)).state == "OK"
        await copied(live, body)
    ranged = [asked for _, asked in origin.requests if asked]
    assert len(ranged) >= 3


async def test_a_busy_source_is_asked_again(scene, origin):
    publish(scene, origin, SMALL)
    origin.faults["d/B02.tif"] = [origin.status(503), origin.status(429, Retry_After="0")]
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id)).state == "OK"
        await copied(live, SMALL)


@pytest.mark.parametrize("fault", ["stall", "drip"])
async def test_a_source_that_stalls_or_drips_is_left_and_taken_up_where_it_was(scene, origin, fault):
    body = os.urandom(400_000)
    publish(scene, origin, body)
    origin.faults["d/B02.tif"] = [origin.stall_after(1000) if fault == "stall" else origin.drip()]
    scene.settings = msgspec.structs.replace(scene.settings, stall_seconds=0.5, attempts=12)
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id)).state == "OK"
        await copied(live, body)
    assert origin.requests[-1][1].startswith("bytes=")


async def test_wrong_bytes_never_become_visible_and_the_order_tells(scene, origin):
    body = os.urandom(PART + 10)
    publish(scene, origin, body)
    wrong = body[:-1] + bytes([body[-1] ^ 1])
    origin.faults["d/B02.tif"] = [origin.instead(wrong)] * 2
    async with scene.running() as live:
        order = await live.settled((await live.order()).id)
        assert order.state == "STUCK"
        results = await live.harvester.results(order.id)
        assert results.objects[0].state == "BAD"
        assert "checksum" in results.objects[0].reason
        assert [found async for found in live.store.list_objects()] == []
        assert await live.catalogue.plain("s2", "i1") is None
        assert (await live.taken())["storage_bytes"] == (0, 0)
        await nothing_left(live)


async def test_another_length_than_announced_is_refused_before_anything_is_written(scene, origin):
    item = publish(scene, origin, SMALL)
    item["assets"]["B02"]["file:size"] = len(SMALL) - 1
    async with scene.running() as live:
        order = await live.settled((await live.order()).id)
        assert order.state == "STUCK"
        assert "announces" in (await live.harvester.results(order.id)).objects[0].reason


async def test_a_second_source_serves_where_the_first_does_not(scene, origin):
    item = publish(scene, origin, SMALL)
    origin.add("other/B02.tif", SMALL)
    item["assets"]["B02"]["alternate"] = {"edge-c": {"href": f"{origin.url}/other/B02.tif"}}
    del origin.files["d/B02.tif"]
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id)).state == "OK"
        copy = (await copied(live, SMALL))["assets"]["B02"]
        assert copy["alternate"]["edge-c"]["href"].endswith("other/B02.tif")


async def test_a_source_that_prepares_its_data_is_asked_again_later(scene, origin):
    publish(scene, origin, SMALL)
    origin.faults["d/B02.tif"] = [origin.status(202, Retry_After="1")]
    async with scene.running() as live:
        order = await live.order()
        assert (await live.settled(order.id)).state == "OK"
        await copied(live, SMALL)


async def test_redirects_are_followed_only_to_addresses_that_are_allowed(scene, origin):
    publish(scene, origin, SMALL)
    origin.add("moved.tif", SMALL)
    scene.refused = ("forbidden",)
    origin.faults["d/B02.tif"] = [origin.status(302, Location="/moved.tif")]
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id)).state == "OK"
        await copied(live, SMALL)
    publish(scene, origin, SMALL, item_id="i2", path="e.tif")
    origin.faults["e.tif"] = [origin.status(302, Location="http://forbidden/x")]
    async with scene.running() as live:
        order = await live.settled((await live.order()).id)
        assert order.state == "STUCK"
        assert "not allowed" in (await live.harvester.results(order.id)).objects[0].reason


async def test_a_web_page_in_place_of_the_file_is_not_stored(scene, origin):
    publish(scene, origin, SMALL, told=False)

    async def page(request, body, start):
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    origin.faults["d/B02.tif"] = [page] * 9
    async with scene.running() as live:
        order = await live.settled((await live.order()).id)
        assert order.state == "STUCK"
        assert "web page" in (await live.harvester.results(order.id)).objects[0].reason


async def test_what_the_target_has_is_not_copied_again(scene, origin):
    publish(scene, origin, SMALL)
    async with scene.running() as live:
        await live.settled((await live.order()).id)
        asked = len(origin.requests)
        second = await live.settled((await live.order()).id)
        assert (second.state, second.progress.objects, second.progress.present) == ("OK", 0, 1)
        assert len(origin.requests) == asked


async def test_two_orders_for_one_object_share_the_work_and_only_one_pays(scene, origin):
    body = os.urandom(PART + 5)
    publish(scene, origin, body)
    async with scene.running(workers=0) as live:
        first, second = await live.order(), await live.order()
        assert first.id != second.id
    async with scene.running() as live:
        assert (await live.settled(first.id)).state == "OK"
        assert (await live.settled(second.id)).state == "OK"
        assert origin.sent["d/B02.tif"] == len(body)
        assert (await live.taken())["storage_bytes"] == (len(body), 0)
        assert live.catalogue.puts == 1
        await nothing_left(live)


async def test_quota_refuses_an_order_before_anything_is_written(scene, origin):
    publish(scene, origin, SMALL)
    scene.limits = {"storage_bytes": len(SMALL) - 1}
    async with scene.running() as live:
        with pytest.raises(QuotaExceeded, match="storage_bytes"):
            await live.order()
        assert await live.harvester.jobs(JobFilter(group=GROUP)) == ()
        assert origin.requests == []
        await nothing_left(live)


async def test_an_object_larger_than_estimated_needs_quota_of_its_own(scene, origin):
    body = os.urandom(50_000)
    publish(scene, origin, body, told=False)
    scene.limits = {"storage_bytes": 40_000}
    async with scene.running() as live:
        order = await live.settled((await live.order()).id)
        assert order.state == "STUCK"
        assert "quota" in (await live.harvester.results(order.id)).objects[0].reason
        assert [each async for each in live.store.list_objects()] == []
        await nothing_left(live)


async def test_an_order_that_outgrows_its_quota_waits_and_goes_on_when_there_is_room(scene, origin):
    publish(scene, origin, SMALL)
    grown = os.urandom(len(SMALL) + 7)
    scene.limits = {"harvest_bytes": 2 * len(SMALL)}
    async with scene.running() as live:
        await live.settled((await live.order()).id)
        publish(scene, origin, grown, told=False, item_id="i2", path="grown.tif")
        order = await live.order()
        assert "harvest_bytes" in (await live.reached(order.id, "WAITING_QUOTA")).message
        assert [each.key async for each in live.store.list_objects("s2/i2")] == []
        await live.ledger.set_policies(policies())
        assert (await live.settled(order.id)).state == "OK"
        await copied(live, grown, "i2")
        assert (await live.taken())["harvest_bytes"] == (len(SMALL) + len(grown), 0)
        await nothing_left(live)


async def test_cancelling_in_the_middle_leaves_nothing_behind(scene, origin):
    body = os.urandom(2 * PART)
    publish(scene, origin, body)
    origin.gate = asyncio.Event()
    async with scene.running() as live:
        order = await live.order()
        await live.uploads()
        assert (await live.harvester.cancel(order.id)).state == "CANCELLED"
        await live.settled(order.id)
        await nothing_left(live)
        assert [each async for each in live.store.list_objects()] == []
        assert (await live.taken())["storage_bytes"] == (0, 0)


async def test_a_cancelled_order_does_not_take_the_object_from_another_that_wants_it(scene, origin):
    body = os.urandom(2 * PART)
    publish(scene, origin, body)
    origin.gate = asyncio.Event()
    async with scene.running() as live:
        first, second = await live.order(), await live.order()
        await live.uploads()
        await live.harvester.cancel(first.id)
        origin.gate.set()
        assert (await live.settled(second.id)).state == "OK"
        await live.settled(first.id)
        await copied(live, body)
        assert (await live.taken())["storage_bytes"] == (len(body), 0)
        await nothing_left(live)


async def test_the_same_idempotency_key_gives_the_same_order_and_refuses_another(scene, origin):
    publish(scene, origin, SMALL)
    async with scene.running() as live:
        first = await live.order("key-1")
        assert (await live.order("key-1")).id == first.id
        with pytest.raises(KeyReused):
            await live.order("key-1", assets=("B02",))
        await live.settled(first.id)


async def test_wrong_targets_are_refused_with_what_would_be_right(scene):
    async with scene.running(workers=0) as live:
        with pytest.raises(InvalidInput, match=EDGE):
            await live.order(target="nowhere")
        with pytest.raises(TargetRefused):
            await live.order(bucket="somebody-elses")


async def test_too_many_items_are_refused(scene, origin):
    publish(scene, origin, SMALL)
    publish(scene, origin, SMALL, item_id="i2")
    scene.settings = msgspec.structs.replace(scene.settings, max_items=1)
    async with scene.running(workers=0) as live:
        with pytest.raises(OrderRefused, match="narrow"):
            await live.order()
        assert await live.harvester.jobs(JobFilter()) == ()


async def test_an_estimate_tells_bytes_and_quota_and_writes_nothing(scene, origin):
    publish(scene, origin, SMALL)
    scene.limits = {"harvest_bytes": 10}
    async with scene.running() as live:
        estimate = await live.harvester.estimate(
            OrderRequest(query=Query(), target=EDGE),
            CHARGE,
        )
        assert (estimate.items, estimate.objects, estimate.bytes, estimate.unknown) == (1, 1, len(SMALL), 0)
        assert estimate.refusal is not None
        assert await live.harvester.jobs(JobFilter()) == ()
