"""Slots for small objects: never more at once, none lost, and those that are held in memory first."""

import asyncio
from contextlib import suppress

import pytest

from harvest.slots import Slots


async def settle():
    """Let all go on as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """Tasks that enter a slot by their names, in the order that is told, and leave it when they are told to."""

    def __init__(self, count):
        self.slots = Slots(count)
        self.entered = []
        self._leave = {}
        self._tasks = {}

    async def comes(self, name):
        kind = self.slots.putting if name.startswith("put") else self.slots.reading
        self._leave[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._within(kind, name))
        await settle()

    async def _within(self, kind, name):
        async with kind:
            self.entered.append(name)
            await self._leave[name].wait()

    async def leaves(self, name):
        self._leave[name].set()
        await settle()

    def goes(self, name):
        self._tasks[name].cancel()

    async def end(self):
        for task in self._tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def crowd():
    there = Crowd(1)
    yield there
    await there.end()


async def test_who_puts_goes_before_who_reads_and_each_kind_in_its_turn(crowd):
    for name in ("read a", "read b", "put a", "read c", "put b"):
        await crowd.comes(name)
    assert crowd.entered == ["read a"]
    for name in ("read a", "put a", "put b", "read b", "read c"):
        await crowd.leaves(name)
    assert crowd.entered == ["read a", "put a", "put b", "read b", "read c"]


async def test_one_who_goes_while_waiting_is_passed_over(crowd):
    for name in ("read a", "put a", "read b"):
        await crowd.comes(name)
    crowd.goes("put a")
    await crowd.leaves("read a")
    assert crowd.entered == ["read a", "read b"]


async def test_a_slot_that_was_given_to_one_who_goes_is_given_on(crowd):
    for name in ("read a", "put a", "read b"):
        await crowd.comes(name)
    crowd.slots.give()  # to "put a", who has not noticed yet
    crowd.goes("put a")
    await settle()
    assert crowd.entered == ["read a", "read b"]


async def test_as_many_are_within_as_there_are_slots_however_they_come_and_go():
    within = most = 0

    async def one(number, slots):
        nonlocal within, most
        async with slots.putting if number % 3 else slots.reading:
            within += 1
            most = max(most, within)
            try:
                await asyncio.sleep(0)
            finally:
                within -= 1

    slots = Slots(4)
    tasks = [asyncio.create_task(one(number, slots)) for number in range(60)]
    for number, task in enumerate(tasks):
        if number % 5 == 0:
            await asyncio.sleep(0)
            task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(each is None or isinstance(each, asyncio.CancelledError) for each in ended)
    assert (within, most) == (0, 4)
    held = [asyncio.create_task(slots.take(slots.reading.waiting)) for _ in range(5)]
    await settle()
    assert [task.done() for task in held] == [True, True, True, True, False]
    held[-1].cancel()
