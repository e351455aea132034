"""Orders carried by workers far from the gateway, which take work by HTTP and die as they like."""

import asyncio

import aiohttp
import msgspec
import pytest
from harvest_elsewhere import LARGE, begin, far, publish
from harvest_origin import Origin
from harvest_outcome import all_right
from harvest_scene import EDGE, HUB, PART, make_item

from edges.errors import InvalidInput
from edges.settings import PolitenessSettings
from harvest.desk_wire import TOKEN_HEADER
from harvest.files import Folder
from harvest.model import FoundItem, JobFilter

pytestmark = pytest.mark.service


async def test_workers_elsewhere_carry_an_order_and_end(scene, origin):
    bodies = publish(scene, origin, small=12)
    async with far(scene, workers=2) as there:
        order = await there.live.order()
        ended = await there.live.settled(order.id, 40)
        assert (ended.state, ended.progress.percent) == ("OK", 100)
        await all_right(there.live, bodies)
        run = there.executor.started[0]
        assert (run.order, run.target) == (order.id, EDGE)
        await there.stopped(run.run)
        assert len(there.executor.started) == 1


async def test_what_a_killed_worker_had_in_hand_another_finishes(scene, origin):
    bodies = publish(scene, origin)
    origin.gate = asyncio.Event()
    async with far(scene) as there:
        order = await there.live.order()
        run = await there.run()
        await there.live.uploads(20)
        there.executor.end(run.run)
        origin.gate.set()
        ended = await there.live.settled(order.id, 60)
        assert ended.state == "OK"
        assert len(there.executor.started) == 2
        await all_right(there.live, bodies)
    assert max(steps_back(origin)) <= PART


def steps_back(origin: Origin) -> list[int]:
    """Return by how many bytes each request for the large object begins before what had come until then.

    A reading that stalled asks from where it is. What the origin wrote says less: sockets hold megabytes that nobody
    reads.
    """
    starts = [
        int(asked[6:].partition("-")[0]) if asked else 0 for path, asked in origin.requests if path == "large.tif"
    ]
    return [max(starts[:number]) - start for number, start in enumerate(starts[1:], start=1)]


async def test_a_cancelled_order_ends_its_run_and_leaves_nothing(scene, origin):
    publish(scene, origin)
    origin.gate = asyncio.Event()
    async with far(scene) as there:
        order = await there.live.order()
        run = await there.run()
        await there.live.uploads(20)
        await there.live.harvester.cancel(order.id)
        await there.stopped(run.run)
        origin.gate.set()
        await there.live.settled(order.id, 40)
        assert await there.live.store.list_uploads() == []
        assert [found async for found in there.live.store.list_objects()] == []
        assert (await there.live.taken())["storage_bytes"] == (0, 0)


async def test_two_workers_of_one_run_never_carry_the_same_object(scene, origin):
    bodies = publish(scene, origin, small=40)
    scene.settings = msgspec.structs.replace(scene.settings, claim_seconds=60.0)  # a busy machine takes none over
    async with far(scene, plain=True) as there:
        order = await there.live.order()
        run = await there.run()
        there.executor.workers[run.run] = [begin(run), begin(run)]
        assert (await there.live.settled(order.id, 40)).state == "OK"
        await all_right(there.live, bodies)
    assert len(origin.requests) == len(bodies)


async def test_the_counter_serves_nobody_without_the_token_of_a_living_run(scene, origin):
    publish(scene, origin)
    async with far(scene, plain=True) as there, aiohttp.ClientSession() as session:
        order = await there.live.order()
        run = await there.run()

        async def ask(verb: str, token: str, body: object = None, name: str = run.run) -> tuple[int, dict]:
            url = f"{there.url}/harvest-runs/{name}/{verb}"
            async with session.post(url, headers={TOKEN_HEADER: token}, json=body or {}) as answer:
                return answer.status, await answer.json() if "json" in answer.content_type else {}

        for token in ("", "x" * 64, there.tokens.token("another")):
            assert (await ask("take", token))[0] == 403
        assert (await ask("take", there.tokens.token("another"), name="another"))[0] == 410
        assert (await ask("deleted", run.token))[0] == 404
        assert (await ask("take", run.token, {"most": "many"}))[0] == 400
        status, taken = await ask("take", run.token, {"most": 1})
        assert (status, len(taken["claims"]), set(taken["buckets"])) == (200, 1, {EDGE})
        claim = taken["claims"][0]
        stale = {"id": claim["id"], "fence": claim["fence"] - 1}
        assert (await ask("renew", run.token, stale))[0] == 409
        assert (await ask("renew", run.token, {"id": 4711, "fence": 1}))[0] == 409
        assert (await ask("renew", run.token, {"id": claim["id"], "fence": claim["fence"]}))[0] == 200
        await there.live.harvester.cancel(order.id)
        assert (await ask("renew", run.token, {"id": claim["id"], "fence": claim["fence"]}))[0] in (409, 410)
        await there.stopped(run.run)
        assert (await ask("take", run.token))[0] == 410


async def test_workers_elsewhere_keep_to_what_a_site_wants_together(scene, origin):
    bodies = publish(scene, origin, small=6)
    scene.politeness = {HUB: PolitenessSettings(connections=1, requests_per_second=50.0)}
    async with far(scene, plain=True) as there:
        order = await there.live.order()
        run = await there.run()
        there.executor.workers[run.run] = [begin(run), begin(run)]
        assert (await there.live.settled(order.id, 60)).state == "OK"
        await all_right(there.live, bodies)
    assert origin.most_open == 1


async def test_an_act_that_is_told_twice_counts_once(scene, origin):
    publish(scene, origin)
    async with far(scene, plain=True) as there, aiohttp.ClientSession() as session:
        order = await there.live.order()
        run = await there.run()

        async def ask(verb: str, **body: object) -> dict:
            url = f"{there.url}/harvest-runs/{run.run}/{verb}"
            async with session.post(url, headers={TOKEN_HEADER: run.token}, json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        claim = (await ask("take", most=1))["claims"][0]
        named = {"id": claim["id"], "fence": claim["fence"], "source": claim["sources"][0], "validator": '"v"'}
        for _ in range(2):
            await ask("began", **named, upload_id="u1", part_bytes=PART, total=LARGE)
        for _ in range(2):
            await ask("part_done", **named, part={"number": 1, "etag": '"e"', "size": PART}, done=PART)
        assert await ask("parts", **named) == [{"number": 1, "etag": '"e"', "size": PART, "crc64nvme": None}]
        row = await there.live.harvester._database.run(lambda c: c.one("order_by_id", id=order.id))
        assert row["moved"] == PART


async def test_an_executor_that_does_not_reach_the_target_is_refused_by_name(scene, origin):
    publish(scene, origin)
    async with far(scene, plain=True) as there:
        with pytest.raises(InvalidInput, match="kubernetes"):
            await there.live.order(executor="kubernetes")


async def test_an_order_whose_executor_is_configured_no_longer_is_carried_here(scene, origin):
    bodies = publish(scene, origin)
    async with far(scene, plain=True) as there:
        order = await there.live.order()
        await there.run()
    async with scene.running() as live:
        assert (await live.settled(order.id, 40)).state == "OK"
        await all_right(live, bodies)


@pytest.mark.parametrize("asked", ["dask", None])
async def test_what_the_gateway_alone_can_read_is_refused_to_others_at_once_or_carried_by_it(scene, tmp_path, asked):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "x.tif").write_bytes(b"x" * 1_000)
    scene.folders = {HUB: Folder(tmp_path / "archive")}
    asset = {"href": (tmp_path / "archive" / "x.tif").as_uri(), "file:size": 1_000}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", {"x": asset})))
    async with far(scene) as there:
        if asked is None:
            order = await there.live.order()
            assert (await there.live.settled(order.id, 40)).state == "OK"
        else:
            with pytest.raises(InvalidInput, match="the gateway alone can read them"):
                await there.live.order(executor=asked)
            assert await there.live.harvester.jobs(JobFilter()) == ()
            assert (await there.live.taken())["harvest_jobs"] == (0, 0)
        assert there.executor.started == []
