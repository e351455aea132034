"""An operator whose process stood still for longer than its lease lasts forgets nothing of what it was told."""

import asyncio
import time
import uuid

import pytest

from gateway.operator.conditions import Condition, Outcome
from gateway.operator.controller import Controller, ControllerTimes
from gateway.operator.errors import NoLongerLeading
from gateway.operator.events import Recorder
from gateway.operator.informer import Informer
from gateway.operator.leader import Leadership, LeaseTimes
from gateway.operator.resources import GROUP_QUOTAS

pytestmark = pytest.mark.service

TIMES = LeaseTimes(lease=1.5, deadline=1.0, retry=0.1)


class Lapsing:
    """Does nothing but to be refused at first, as one whose lease is over."""

    resource = GROUP_QUOTAS

    def __init__(self):
        self.acted = 0

    def holds(self, found):
        return False

    async def act(self, found):
        self.acted += 1
        if self.acted == 1:
            raise NoLongerLeading("the lease is over")
        return Outcome(conditions=(Condition(type="Ready", status="True", reason="Applied", message=""),), fields={})

    async def undo(self, found):
        raise AssertionError("nothing is held")

    async def gone(self, key):
        pass


async def test_what_could_not_be_written_in_a_lapse_is_written_after_it(failing):
    kind = Lapsing()
    controller = Controller(
        kind=kind,
        api=failing.api,
        informer=lambda told: Informer(api=failing.api, resource=GROUP_QUOTAS, on_change=told),
        recorder=Recorder(api=failing.api, instance="test"),
        times=ControllerTimes(first_pause=0.01),
    )
    await failing.put(GROUP_QUOTAS, "eo", {})
    running = asyncio.create_task(controller.run())
    try:
        await failing.until(GROUP_QUOTAS, "eo", "Applied")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert kind.acted >= 2


async def test_a_lapse_that_nobody_else_used_begins_the_work_anew(failing):
    begun = asyncio.Queue()

    async def work():
        begun.put_nowait("begun")
        await asyncio.Event().wait()

    leadership = Leadership(api=failing.api, namespace="lake", name="operator", identity=uuid.uuid4().hex, times=TIMES)
    leading = asyncio.create_task(leadership.lead(work))
    try:
        await asyncio.wait_for(begun.get(), 30)
        time.sleep(TIMES.deadline + 0.1)  # noqa: ASYNC251 - the process stands still: that is what is tested
        await asyncio.wait_for(begun.get(), 30)
    finally:
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
