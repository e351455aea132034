"""A hostile source and an unruly store at once: afterwards each wanted object is there once, and nothing else."""

import asyncio
import os
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from harvest_origin import Origin
from harvest_outcome import all_arrived
from harvest_scene import HUB, PART, Scene, make_item, sha256
from unruly_s3 import UnrulyS3

from harvest.model import FoundItem

pytestmark = pytest.mark.service

SIZES = {"small": 25_000, "middle": 3 << 20, "large": 2 * PART + 4321}


@pytest.fixture
async def unruly(scene: Scene) -> AsyncIterator[UnrulyS3]:
    async with UnrulyS3(scene.endpoint).serving() as proxy:
        scene.endpoint = proxy.url
        scene.settings = msgspec.structs.replace(scene.settings, attempts=12, stall_seconds=2.0)
        yield proxy


def publish(scene: Scene, origin: Origin, *, told: bool = True) -> dict[str, bytes]:
    bodies = {name: os.urandom(size) for name, size in SIZES.items()}
    assets = {}
    for name, body in bodies.items():
        origin.add(f"{name}.tif", body)
        extra = {"file:checksum": sha256(body), "file:size": len(body)} if told else {}
        assets[name] = {"href": f"{origin.url}/{name}.tif", **extra}
    item = make_item("i1", assets)
    scene.found += [FoundItem(site=HUB, item=item), FoundItem(site=HUB, item=item)]  # the search tells it twice
    return bodies


async def all_is_right(live, bodies: dict[str, bytes]) -> None:
    await all_arrived(live, bodies)
    total = sum(map(len, bodies.values()))
    taken = await live.taken()
    assert taken["storage_bytes"] == (total, 0)
    assert taken["harvest_bytes"][1] == taken["harvest_jobs"][1] == 0


def store_faults(unruly: UnrulyS3, chance: random.Random, budget: int, kinds: tuple[str, ...]) -> None:
    left = budget

    def fault(request) -> str | None:
        nonlocal left
        if request.method != "PUT" or not left or (len(kinds) > 1 and chance.random() < 0.4):
            return None
        left -= 1
        return chance.choice(kinds)

    unruly.faults = fault


@pytest.mark.parametrize("kind", ["refuse", "full", "cut", "forget", "broken"])
async def test_a_store_that_fails_twice_in_each_way_holds_all_in_the_end(scene, origin, unruly, kind):
    bodies = publish(scene, origin)
    store_faults(unruly, random.Random(kind), 2, (kind,))
    async with scene.running() as live:
        order = await live.settled((await live.order()).id, 60)
        assert (order.state, order.message) == ("OK", "")
        assert len(unruly.happened) == 2
        await all_is_right(live, bodies)


@pytest.mark.parametrize("seed", range(3))
async def test_faults_of_source_and_store_at_random_end_right_without_fetching_much_twice(scene, origin, unruly, seed):
    chance = random.Random(seed)
    bodies = publish(scene, origin)
    for name, size in SIZES.items():
        cuts = [origin.reset_after(chance.randrange(size)) for _ in range(2)]
        busy = [origin.status(503), origin.status(429, Retry_After="0")]
        origin.faults[f"{name}.tif"] = chance.sample([*cuts, *busy], 3)
    store_faults(unruly, chance, 3, ("refuse", "cut", "forget", "broken"))
    async with scene.running() as live:
        order = await live.settled((await live.order()).id, 60)
        assert (order.state, order.message) == ("OK", "")
        await all_is_right(live, bodies)
    again = sum(origin.sent.values()) - sum(map(len, bodies.values()))
    assert again <= (len(unruly.happened) + 1) * PART


async def test_a_source_that_changes_in_the_middle_is_copied_as_it_is_now_and_never_mixed(scene, origin, unruly):
    bodies = publish(scene, origin, told=False)
    for name, size in SIZES.items():
        new = os.urandom(size)
        cut = origin.reset_after(size // 2)

        async def fault(request, body, start, *, cut=cut, name=name, new=new):
            answer = await cut(request, body, start)
            origin.files[f"{name}.tif"] = new
            return answer

        origin.faults[f"{name}.tif"] = [fault]
        bodies[name] = new
    async with scene.running() as live:
        assert (await live.settled((await live.order()).id, 60)).state == "OK"
        await all_is_right(live, bodies)


async def test_wrong_bytes_in_the_last_piece_of_a_stream_are_never_visible_not_even_for_a_moment(scene, origin, unruly):
    body = os.urandom(3 << 20)
    origin.add("x.tif", body)
    wrong = body[:-1] + bytes([body[-1] ^ 1])
    origin.faults["x.tif"] = [origin.instead(wrong)] * 2
    asset = {"href": f"{origin.url}/x.tif", "file:checksum": sha256(body), "file:size": len(body)}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", {"x": asset})))
    seen: list[str] = []
    ended = asyncio.Event()

    async def watch(live) -> None:
        while not ended.is_set():
            seen.extend([found.key async for found in live.store.list_objects()])
            await asyncio.sleep(0)

    async with scene.running() as live:
        watching = asyncio.create_task(watch(live))
        order = await live.settled((await live.order()).id, 60)
        ended.set()
        await watching
        assert order.state == "STUCK"
        assert seen == []
        assert (await live.taken())["storage_bytes"] == (0, 0)
