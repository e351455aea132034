"""The operator at a real API server behind a network that fails: cut and silent watches, 410 Gone, and conflicts."""

import asyncio
import json
import logging
import urllib.request
import uuid

import msgspec
import pytest
from faulty_way import FaultyWay

from gateway.operator.errors import Conflicted
from gateway.operator.informer import WatchTimes
from gateway.operator.leader import LeaseTimes
from gateway.operator.resources import GROUP_QUOTAS
from gateway.operator.running import OperatorTimes

pytestmark = pytest.mark.service

PATIENT = OperatorTimes(
    lease=LeaseTimes(lease=240.0, deadline=200.0, retry=0.2),  # so that it goes on leading while it hears nothing
    watch=WatchTimes(watch=300, silence=150.0, longest_pause=0.2),
)
FORGOTTEN = "the version is forgotten: list again"


def quota(amount):
    day = {"name": "day", "resource": "requests", "kind": "window", "amount": amount, "windowSeconds": 86_400}
    return {"group": "eo", "policies": [day]}


def names(count):
    return [f"eo-{uuid.uuid4().hex[:6]}" for _ in range(count)]


@pytest.fixture
async def way(real):
    async with FaultyWay(real.real.port).serving() as found:
        yield found


async def amounts(gateway, of):
    held = await gateway.policies()
    return [held[f"{name}.day"]["amount"] if f"{name}.day" in held else None for name in of]


async def until_amounts(real, gateway, of, wanted):
    async def right():
        return await amounts(gateway, of) == wanted

    await real.settled(right)


def compact(server):
    """Let etcd forget all versions but the newest, by its own API."""
    root = f"http://127.0.0.1:{server.etcd_port}/v3/kv"

    def ask(path, body):
        request = urllib.request.Request(f"{root}/{path}", data=json.dumps(body).encode(), method="POST")  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    newest = ask("range", {"key": "AA==", "limit": 1})["header"]["revision"]
    ask("compaction", {"revision": newest, "physical": True})


async def test_a_version_that_etcd_has_compacted_is_listed_again(real, gateway, operator, way, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="gateway.operator.informer")
    changed, gone, new = names(3)
    through = way.kubeconfig(real.kubeconfig, tmp_path / "through")
    async with operator(real, kubeconfig=through, times=PATIENT):
        for each in (changed, gone):
            await real.put(GROUP_QUOTAS, each, quota(5) | {"deletionPolicy": "Delete"})
            await real.until(GROUP_QUOTAS, each, "Applied")
        way.freeze()
        await real.put(GROUP_QUOTAS, changed, quota(9))
        await real.delete(GROUP_QUOTAS, gone)
        await real.put(GROUP_QUOTAS, new, quota(7))
        # A fresh API server knows no older versions than those of its first look, and etcd no others than the newest.
        await asyncio.to_thread(real.real.stop)
        await asyncio.to_thread(compact, real.real)
        await asyncio.to_thread(real.real.start)
        way.thaw()
        way.cut()
        await until_amounts(real, gateway, (changed, gone, new), [9, None, 7])
    assert FORGOTTEN in [each.message for each in caplog.records]


async def test_watches_that_are_cut_again_and_again_miss_nothing(real, gateway, operator, way, tmp_path):
    of = names(4)
    through = way.kubeconfig(real.kubeconfig, tmp_path / "through")
    async with operator(real, kubeconfig=through, times=PATIENT):
        for turn in range(6):
            for each in of:
                await real.put(GROUP_QUOTAS, each, quota(10 * turn + 5))
                way.cut()
            await until_amounts(real, gateway, of, [10 * turn + 5] * len(of))
    assert way.cuts > len(of)


async def test_a_watch_that_says_nothing_is_given_up_and_the_change_is_seen(real, gateway, operator, way, tmp_path):
    [name] = names(1)
    through = way.kubeconfig(real.kubeconfig, tmp_path / "through")
    silent = msgspec.structs.replace(PATIENT, watch=WatchTimes(watch=300, silence=1.0, longest_pause=0.2))
    async with operator(real, kubeconfig=through, times=silent):
        await real.put(GROUP_QUOTAS, name, quota(5))
        await real.until(GROUP_QUOTAS, name, "Applied")
        way.freeze()  # no connection is closed: only the silence tells
        await real.put(GROUP_QUOTAS, name, quota(8))
        opened = way.opened

        async def tried_again():
            return way.opened > opened

        await real.settled(tried_again)
        way.thaw()
        await until_amounts(real, gateway, [name], [8])


async def test_writers_who_race_the_operator_neither_lose_nor_stop_it(real, gateway, operator):
    [name] = names(1)
    lost = 0
    async with operator(real):
        await real.put(GROUP_QUOTAS, name, quota(1))
        await real.until(GROUP_QUOTAS, name, "Applied")

        async def scribble(number):
            nonlocal lost
            for turn in range(15):
                found = await real.get(GROUP_QUOTAS, name)
                marks = found["metadata"].setdefault("annotations", {})
                marks[f"writer/{number}"] = str(turn)
                found["spec"] = quota(number * 100 + turn)
                try:
                    await real.api.replace(GROUP_QUOTAS.path("", name), found)
                except Conflicted:
                    lost += 1

        await asyncio.gather(*(scribble(number) for number in (1, 2, 3)))
        await real.put(GROUP_QUOTAS, name, quota(777))
        await until_amounts(real, gateway, [name], [777])

        async def told():
            found = await real.get(GROUP_QUOTAS, name)
            return found["status"].get("observedGeneration") == found["metadata"]["generation"]

        await real.settled(told)
        found = await real.get(GROUP_QUOTAS, name)
    assert lost  # there was a race, and the API server decided it
    assert len([each for each in found["metadata"]["annotations"] if each.startswith("writer/")]) == 3
    assert found["status"]["usage"][0]["limit"] == 777
