"""How long copies stay: who counts on them, in which order they go, and that the quota is the truth after."""

import asyncio

import pytest
from harvest_scene import HUB, make_item, sha256
from waiting import until

from edges.errors import SiteUnavailable
from edges.model import Query
from harvest.model import FoundItem
from harvest.seams import Place

pytestmark = pytest.mark.service

BODY = b"pixels" * 500
SHORT = 0.3


def publish(scene, origin, item_id="i1", name="B02", body=BODY):
    origin.add(f"{item_id}-{name}.tif", body)
    asset = {"href": f"{origin.url}/{item_id}-{name}.tif", "file:checksum": sha256(body), "file:size": len(body)}
    scene.found.append(FoundItem(site=HUB, item=make_item(item_id, {name: asset})))


async def keys(live):
    return sorted([found.key async for found in live.store.list_objects()])


async def nothing_is_left(live):
    async def gone():
        return await keys(live) == [] and (await live.taken())["storage_bytes"] == (0, 0)

    await until(gone)


async def test_a_copy_goes_at_the_end_of_its_lifetime_and_its_storage_is_given_back_to_the_byte(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        order = await live.order(lifetime=SHORT)
        await live.reached(order.id, "EXPIRED")
        await nothing_is_left(live)
        assert await live.catalogue.plain("s2", "i1") is None
        assert (await live.taken())["harvest_bytes"][0] == len(BODY)


async def test_the_catalogue_tells_when_a_copy_may_go_and_forgets_it_before_the_bytes_go(scene, origin):
    publish(scene, origin)
    seen = []
    async with scene.running(checkpoint=seen.append) as live:
        order = await live.order(lifetime=1.0)
        await live.settled(order.id)
        item = await live.catalogue.plain("s2", "i1")
        assert item["assets"]["B02"]["expires"].endswith("Z")
        await nothing_is_left(live)
    assert seen.index("released") < seen.index("registered", seen.index("released")) < seen.index("deleted")
    assert seen.index("deleted") < seen.index("given-back")


async def test_a_copy_stays_while_another_order_counts_on_it(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        first = await live.order(lifetime=SHORT)
        await live.settled(first.id)
        second = await live.order()
        assert (await live.settled(second.id)).progress.present == 1
        await live.reached(first.id, "EXPIRED")
        item = await live.catalogue.plain("s2", "i1")
        assert await live.read(item["assets"]["B02"]["href"]) == BODY
        assert (await live.taken())["storage_bytes"] == (len(BODY), 0)


async def test_an_item_that_the_target_had_itself_is_put_back_as_it_was(scene, origin):
    publish(scene, origin, name="B03")
    native = make_item("i1", {"B02": {"href": "https://edge-a.example/B02.tif"}})
    async with scene.running() as live:
        await live.catalogue.put_collection({"type": "Collection", "id": "s2", "links": []})
        await live.catalogue.put_items("s2", [native])
        order = await live.order(lifetime=1.0)
        await live.settled(order.id)
        both = (await live.catalogue.plain("s2", "i1"))["assets"]
        assert both["B02"] == native["assets"]["B02"]
        assert both["B03"]["href"].startswith("s3://")
        await nothing_is_left(live)
        assert await live.catalogue.plain("s2", "i1") == native


async def test_what_changed_at_its_source_is_copied_anew_and_charged_once(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        await live.settled((await live.order()).id)
        longer = BODY + b"more"
        scene.found.clear()
        publish(scene, origin, body=longer)
        await live.settled((await live.order()).id)
        item = await live.catalogue.plain("s2", "i1")
        assert await live.read(item["assets"]["B02"]["href"]) == longer

        async def true():
            return (await live.taken())["storage_bytes"] == (len(longer), 0)

        await until(true)


async def test_an_order_that_is_cancelled_while_it_replaces_a_copy_leaves_nothing_behind(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        first = await live.order(lifetime=2.0)
        await live.settled(first.id)
        scene.found.clear()
        publish(scene, origin, body=BODY * 2)
        origin.gate = asyncio.Event()
        second = await live.order()
        await live.harvester.cancel(second.id)
        origin.gate.set()
        await nothing_is_left(live)
        assert await live.catalogue.plain("s2", "i1") is None


async def test_items_alone_can_be_kept_current_in_a_catalogue(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        order = await live.order(content="catalogue")
        ended = await live.settled(order.id)
        assert (ended.state, ended.progress.items_done) == ("OK", 1)
        item = await live.catalogue.plain("s2", "i1")
        assert item["assets"]["B02"]["href"].startswith(origin.url)
        assert "storage:schemes" not in item["properties"]
        assert await keys(live) == []
        again = await live.settled((await live.order(content="catalogue")).id)
        assert (again.progress.items, again.progress.present) == (1, 1)


async def test_a_catalogues_items_go_when_nobody_counts_on_them(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        order = await live.order(content="catalogue", lifetime=SHORT)
        await live.reached(order.id, "EXPIRED")

        async def gone():
            return await live.catalogue.plain("s2", "i1") is None

        await until(gone)


async def test_temporary_copies_are_in_no_catalogue_and_go_by_themselves(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        order = await live.order(temporary=True, lifetime=1.0)
        await live.settled(order.id)
        assert [key.split("/")[0] for key in await keys(live)] == ["~tmp"]
        assert await live.catalogue.plain("s2", "i1") is None
        await nothing_is_left(live)


class ClosedOnceLookedAt(dict[str, Place]):
    """Places that close as a user's bucket may: between two steps of who uses them."""

    def __getitem__(self, name):
        if name not in self:
            raise SiteUnavailable(name, "it is not open here yet")
        place = self.pop(name)
        self.closing = asyncio.ensure_future(place.store.__aexit__(None, None, None))
        return place


async def test_results_in_a_bucket_that_closes_while_they_are_read_are_said_to_be_out_of_reach(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        order = await live.order(temporary=True, lifetime=60.0)
        await live.settled(order.id)
    async with scene.running(workers=0) as live:
        live.harvester._places = ClosedOnceLookedAt(live.harvester._places)
        with pytest.raises(SiteUnavailable, match="not open here yet"):
            await live.harvester.results(order.id)


async def test_temporary_orders_of_what_the_target_has_already_are_copied_for_their_owner(scene, origin):
    publish(scene, origin)
    async with scene.running() as live:
        lasting = await live.order()
        assert (await live.settled(lasting.id)).state == "OK"
        before = await keys(live)
        known = await live.catalogue.plain("s2", "i1")
        temporary = await live.order(temporary=True, lifetime=60.0)
        ended = await live.settled(temporary.id)
        assert (ended.state, ended.progress.objects_done) == ("OK", len(before))
        own = [key for key in await keys(live) if key not in before]
        assert len(own) == len(before)
        assert {key.split("/")[0] for key in own} == {"~tmp"}
        assert await live.catalogue.plain("s2", "i1") == known


async def test_many_items_are_registered_together(scene, origin):
    for number in range(30):
        publish(scene, origin, f"i{number}")
    async with scene.running(workers=0) as live:
        order = await live.order(query=Query(collections=("s2",)))
    async with scene.running() as live:
        await live.settled(order.id)
        assert live.catalogue.puts < 30
        assert all([await live.catalogue.plain("s2", f"i{number}") for number in range(30)])
