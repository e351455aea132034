"""Tasks in the background: woken by what happens, let breathe while much does, and not ended by a fault."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from harvest import background as pauses
from harvest.background import Background
from harvest.errors import DatabaseUnavailable

LONG = 600.0


class Work:
    """Steps that are counted; ``left`` are those that find something to do."""

    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.steps = 0
        self.failure: Exception | None = None

    async def step(self) -> bool:
        self.steps += 1
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.left -= 1
        return self.left >= 0


async def turned(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    made = Background(LONG)
    yield made
    await made.leave()


async def test_whoever_finds_work_goes_on_at_once(background: Background) -> None:
    work = Work(left=3)
    background.start(work.step, "work")
    await turned()
    assert work.steps == 4


async def test_nothing_is_done_until_something_happens(background: Background, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "BREATH", 0.0)
    work = Work()
    background.start(work.step, "work")
    await turned()
    assert work.steps == 1
    background.progressed()
    await turned()
    assert work.steps == 2


async def test_while_much_happens_it_is_let_gather_unless_nothing_more_can(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "BREATH", LONG)
    work = Work()
    background.start(work.step, "work")
    await turned()
    for _ in range(3):
        background.progressed()
        await turned()
    assert work.steps == 1
    background.hurry()
    await turned()
    assert work.steps == 2


async def test_what_happens_within_a_step_is_not_missed(background: Background) -> None:
    steps = 0

    async def step() -> bool:
        nonlocal steps
        steps += 1
        if steps == 1:
            background.progressed()
            background.hurry()
        return False

    background.start(step, "work")
    await turned()
    assert steps == 2


async def test_of_those_who_share_the_work_one_is_woken(background: Background) -> None:
    several = [Work() for _ in range(3)]
    for number, work in enumerate(several):
        background.share(work.step, f"work-{number}")
    await turned()
    background.call()
    await turned()
    assert sorted(work.steps for work in several) == [1, 1, 2]


@pytest.mark.parametrize("failure", [DatabaseUnavailable("full"), KeyError("unforeseen")])
async def test_a_fault_in_one_step_is_told_and_does_not_end_the_rest(
    background: Background, failure: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "FAULT_PAUSE", 0.0)
    monkeypatch.setattr(pauses, "BREATH", 0.0)
    caplog.set_level(logging.WARNING, logger="harvest.background")
    work = Work()
    work.failure = failure
    background.start(work.step, "work")
    await turned()
    background.progressed()
    await turned()
    assert work.steps == 2
    assert len(caplog.records) == 1


async def test_nothing_is_done_after_it_was_left() -> None:
    background, work = Background(LONG), Work()
    background.start(work.step, "work")
    await turned()
    await background.leave()
    background.progressed()
    background.hurry()
    await turned()
    assert work.steps == 1
