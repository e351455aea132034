"""Where workers rest: nobody is woken in vain, and no call is lost."""

import asyncio

from harvest.rest import Rest

LONG = 60.0


async def resting(rest, count):
    tasks = [asyncio.create_task(rest.rest(LONG)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def ended(tasks):
    for _ in range(5):
        await asyncio.sleep(0)
    return sum(task.done() for task in tasks)


async def test_a_call_wakes_one():
    rest = Rest()
    tasks = await resting(rest, 3)
    for called in (1, 2, 3):
        rest.call()
        assert await ended(tasks) == called


async def test_a_call_that_nobody_hears_is_kept_for_the_next_once():
    rest = Rest()
    rest.call()
    rest.call()
    await asyncio.wait_for(rest.rest(LONG), 5)
    tasks = await resting(rest, 1)
    assert await ended(tasks) == 0
    rest.call()
    assert await ended(tasks) == 1


async def test_a_rest_ends_by_itself_and_leaves_no_trace():
    rest = Rest()
    await rest.rest(0.0)
    tasks = await resting(rest, 1)
    rest.call()
    assert await ended(tasks) == 1


async def test_a_call_to_one_who_is_stopped_goes_to_the_next():
    rest = Rest()
    tasks = await resting(rest, 2)
    rest.call()
    called = tasks[1]
    called.cancel()
    assert await ended(tasks) == 2
    assert not tasks[0].cancelled()
