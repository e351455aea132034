"""Requests that wait instead of being refused, and limits that are told before they are reached."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.principal import PRINCIPAL, Principal
from gateway.quota import Charging
from gateway.quota.charging import MOST_WAITING, Patient
from gateway.quota.rate_limits import Remaining, fields_of
from quotas.errors import QuotaExceeded
from quotas.memory import MemoryLedger
from quotas.model import Line, Policy

ALICE = Principal(user="alice", groups=("eo/coast",), charging_group="eo/coast")


class Time:
    """A clock that only those who wait move on."""

    def __init__(self):
        self.now = 1_700_000_000.0
        self.waits = []

    def __call__(self):
        return self.now

    async def pause(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def rate(amount=4.0, on_exceed="queue", **rest):
    given = {"name": "burst", "group": "eo", "resource": "requests", "kind": "rate", "window_seconds": 1}
    return Policy(**{**given, "amount": amount, "on_exceed": on_exceed, **rest})


def charging_of(*policies):
    time = Time()
    return Charging(MemoryLedger(policies, clock=time), clock=time, pause=time.pause), time


async def several(charging, count):
    for _ in range(count):
        await charging.request(ALICE)


async def test_a_burst_above_a_rate_waits_where_the_policy_says_queue():
    charging, time = charging_of(rate())
    await several(charging, 12)
    assert time.waits
    assert 1.5 <= sum(time.waits) <= 3.0, "12 requests at 4 a second, the first 4 at once"


async def test_a_burst_is_refused_where_the_policy_says_reject():
    charging, time = charging_of(rate(on_exceed="reject"))
    with pytest.raises(QuotaExceeded):
        await several(charging, 12)
    assert not time.waits


async def test_a_burst_waits_for_who_is_patient_whatever_the_policy_says():
    charging, time = charging_of(rate(on_exceed="reject"))
    await several(Patient(charging, seconds=10), 12)
    assert 1.5 <= sum(time.waits) <= 3.0


async def test_patience_ends():
    charging, time = charging_of(rate(on_exceed="reject", amount=1.0, window_seconds=8))
    patient = Patient(charging, seconds=10)
    await several(patient, 2)
    with pytest.raises(QuotaExceeded):
        await asyncio.gather(*(patient.request(ALICE)._whole() for _ in range(3)))
    assert sum(time.waits) <= 20


async def test_those_who_wait_are_served_as_they_came():
    charging, _ = charging_of(rate(on_exceed="reject"))
    patient, served = Patient(charging, seconds=10), []

    async def one(number):
        await patient.request(ALICE)
        served.append(number)

    tasks = []
    for number in range(20):  # each comes while the former ones wait, or are served
        tasks.append(asyncio.ensure_future(one(number)))
        for _ in range(number % 5):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert served == sorted(served)


async def test_who_gives_up_waiting_does_not_hold_up_the_others():
    charging, _ = charging_of(rate(on_exceed="reject"))
    patient = Patient(charging, seconds=10)
    tasks = [asyncio.ensure_future(patient.request(ALICE)._whole()) for _ in range(12)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in tasks[5:8]:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)] == []
    await patient.request(ALICE)


async def test_nobody_waits_for_what_does_not_come_free_soon():
    charging, time = charging_of(rate(amount=2.0, kind="window", window_seconds=3600))
    with pytest.raises(QuotaExceeded):
        await several(charging, 3)
    assert not time.waits


async def test_more_than_the_whole_limit_does_not_wait():
    charging, time = charging_of(rate(resource="items"))
    with pytest.raises(QuotaExceeded):
        await charging.request(ALICE, [Line(resource="items", amount=5)])
    assert not time.waits


async def test_only_so_many_wait():
    release = asyncio.Event()

    async def pause(seconds):
        await release.wait()

    time = Time()
    charging = Charging(MemoryLedger([rate()], clock=time), clock=time, pause=pause)
    tasks = [asyncio.ensure_future(charging.request(ALICE)._whole()) for _ in range(MOST_WAITING + 20)]
    for _ in range(2000):
        await asyncio.sleep(0)
    refused = [task for task in tasks if task.done() and task.exception() is not None]
    assert 10 <= len(refused) <= 20
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_degrading_policy_lets_a_burst_pass():
    charging, time = charging_of(rate(on_exceed="degrade"))
    await several(charging, 12)
    assert not time.waits


async def answered(charging, status=200, user=ALICE):
    async def handle(request):
        if user is not None:
            request[PRINCIPAL] = user
            await charging.request(user)
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/", handle)
    app.on_response_prepare.append(charging.tell)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/")) as response,
    ):
        return response.headers


async def test_a_successful_answer_tells_how_much_is_left():
    charging, _ = charging_of(rate(amount=100.0, kind="window", window_seconds=3600))
    headers = await answered(charging)
    assert headers["RateLimit-Policy"] == '"burst";q=100;w=3600'
    assert headers["RateLimit"] == '"burst";r=99'
    assert (await answered(charging))["RateLimit"] == '"burst";r=98'


async def test_nothing_is_told_of_limits_that_do_not_bind_or_only_count():
    for policies in ((), (rate(mode="shadow"),), (rate(kind="concurrent", window_seconds=0),)):
        charging, _ = charging_of(*policies)
        assert "RateLimit" not in await answered(charging)
    charging, _ = charging_of(rate())
    assert "RateLimit" not in await answered(charging, status=500)
    assert "RateLimit" not in await answered(charging, user=None)


def test_the_fields_are_well_formed():
    told = [
        Remaining(policy='a"b', resource="requests", limit=10, remaining=2.5, window=1, per_second=10.0),
        Remaining(policy="tb", resource="egress_bytes", limit=1e18, remaining=1e18, window=2_592_000),
        Remaining(policy="n", resource="items", limit=5, remaining=0),
    ]
    assert fields_of(told) == {
        "RateLimit-Policy": '"a\\"b";q=10;w=1, "tb";q=999999999999999;qu="content-bytes";w=2592000',
        "RateLimit": '"a\\"b";r=2;t=1, "tb";r=999999999999999',
    }
    assert fields_of([]) == {}
