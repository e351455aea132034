"""Deadlines that share one timer end what takes too long, each at its own time, and nothing else."""

import asyncio

import pytest

from edges.deadlines import Deadline, Deadlines


async def bounded(deadlines: Deadlines, work: asyncio.Event) -> str:
    try:
        with Deadline(deadlines):
            await work.wait()
    except TimeoutError:
        return "late"
    return "done"


async def test_tasks_end_one_after_the_other_as_they_began() -> None:
    deadlines, never = Deadlines(0.01), asyncio.Event()
    ended: list[int] = []

    async def numbered(number: int) -> None:
        assert await bounded(deadlines, never) == "late"
        ended.append(number)

    await asyncio.gather(*(numbered(number) for number in range(5)))
    assert ended == [0, 1, 2, 3, 4]


async def test_what_is_done_in_time_is_never_cancelled_and_later_ones_still_are() -> None:
    deadlines, soon, never = Deadlines(0.01), asyncio.Event(), asyncio.Event()
    soon.set()
    assert await bounded(deadlines, soon) == "done"
    assert await bounded(deadlines, never) == "late"  # past the time of the first, whose timer ended nothing
    assert await bounded(deadlines, soon) == "done"
    assert await bounded(deadlines, never) == "late"


async def test_who_is_cancelled_from_outside_is_cancelled_and_not_late() -> None:
    task = asyncio.create_task(bounded(Deadlines(60.0), asyncio.Event()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_at_the_very_moment_is_cancelled() -> None:
    deadlines = Deadlines(60.0)
    inside = asyncio.Event()

    async def work() -> None:
        with Deadline(deadlines) as deadline:
            inside.set()
            deadline.expire()
            own = asyncio.current_task()
            assert own is not None
            own.cancel()
            await asyncio.sleep(1)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


def test_they_work_in_one_event_loop_after_another() -> None:
    deadlines = Deadlines(0.01)
    for _ in range(2):
        assert asyncio.run(bounded(deadlines, asyncio.Event())) == "late"
