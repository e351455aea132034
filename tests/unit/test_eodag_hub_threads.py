"""Blocking calls in threads: told in time, never more than their number, places given back."""

import asyncio
import threading

import pytest
from waiting import until

from edges.catalogues.eodag_hub_threads import BoundedThreads, undisturbed
from edges.errors import SiteUnavailable


async def test_a_call_gives_what_it_returns_and_raises_what_it_raises() -> None:
    threads = BoundedThreads(site="hub", workers=1, seconds=10)
    assert await threads.run(lambda: 7) == 7
    assert await threads.run(lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    with pytest.raises(TimeoutError):  # its own, not ours
        await threads.run(_times_out)
    assert threads.late == 0


def _times_out() -> None:
    raise TimeoutError


async def test_no_more_run_at_once_than_there_are_workers() -> None:
    threads = BoundedThreads(site="hub", workers=2, seconds=10)
    running: list[int] = []
    most: list[int] = []
    gate = threading.Event()

    def call() -> None:
        running.append(1)
        most.append(len(running))
        gate.wait(10)
        running.pop()

    tasks = [asyncio.create_task(threads.run(call)) for _ in range(5)]
    await until(lambda: len(running) == 2)
    gate.set()
    await asyncio.gather(*tasks)
    assert max(most) <= 2


async def test_calls_that_hang_are_told_and_hold_their_places_until_they_end() -> None:
    threads = BoundedThreads(site="hub", workers=2, seconds=0.05)
    gate = threading.Event()
    for _ in range(2):
        with pytest.raises(SiteUnavailable, match=r"no answer within 0\.05 s"):
            await threads.run(lambda: gate.wait(10))
    assert threads.late == 2
    with pytest.raises(SiteUnavailable, match="all 2 workers hang"):
        await threads.run(lambda: 1)
    gate.set()
    await until(lambda: threads.late == 0)
    assert await threads.run(lambda: 1) == 1


async def test_a_call_waits_for_a_worker_no_longer_than_its_time() -> None:
    threads = BoundedThreads(site="hub", workers=2, seconds=0.05)
    gate = threading.Event()
    with pytest.raises(SiteUnavailable):
        await threads.run(lambda: gate.wait(10))
    assert await threads.run(lambda: 1) == 1  # one place is free
    gate.set()
    await until(lambda: threads.late == 0)


async def test_whoever_goes_away_leaves_the_thread_to_end_by_itself() -> None:
    threads = BoundedThreads(site="hub", workers=1, seconds=10)
    gate, began = threading.Event(), threading.Event()

    def call() -> None:
        began.set()
        gate.wait(10)

    task = asyncio.create_task(threads.run(call))
    await until(began.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads.late == 1
    gate.set()
    await until(lambda: threads.late == 0)
    assert await threads.run(lambda: 1) == 1


def test_a_call_whose_parser_other_threads_disturbed_is_made_again_so_many_times() -> None:
    disturbed = SystemError("AST constructor recursion depth mismatch (before=150, after=46)")
    ends: list[SystemError | None] = [disturbed] * 4 + [None]

    def call() -> str:
        if end := ends.pop(0):
            raise end
        return "found"

    assert undisturbed(call) == "found"
    ends += [disturbed] * 5
    with pytest.raises(SystemError, match="recursion depth"):
        undisturbed(call)
    assert ends == []
