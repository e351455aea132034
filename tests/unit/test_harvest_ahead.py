"""Work that is begun ahead: a few pieces at once, none left alone, whatever becomes of the rest."""

import asyncio

import pytest

from harvest.ahead import Ahead


async def test_results_are_in_the_order_of_their_beginning_whichever_ends_first() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def piece(number: int) -> int:
        await gates[number].wait()
        return number

    async with Ahead[int](3) as ahead:
        for number in range(3):
            await ahead.begin(piece(number))
        for gate in reversed(gates):
            gate.set()
    assert ahead.results == [0, 1, 2]


async def test_no_more_are_begun_than_may_go_at_once() -> None:
    going, most = 0, 0

    async def piece() -> None:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(0)
        going -= 1

    async with Ahead[None](2) as ahead:
        for _ in range(10):
            await ahead.begin(piece())
    assert len(ahead.results) == 10
    assert most == 2


async def test_what_a_piece_raises_is_raised() -> None:
    async def broken() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        async with Ahead[None](4) as ahead:
            await ahead.begin(broken())


@pytest.mark.parametrize("given_up", [ValueError("no more"), asyncio.CancelledError()])
async def test_nothing_comes_after_it_was_left(given_up: BaseException) -> None:
    gate, ended = asyncio.Event(), asyncio.Event()

    async def piece() -> None:
        await gate.wait()
        ended.set()

    async def work() -> None:
        async with Ahead[None](4) as ahead:
            await ahead.begin(piece())
            raise given_up

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(type(given_up)):
        await task
    assert ended.is_set()


async def test_whoever_is_cancelled_waits_for_what_goes_on_all_the_same() -> None:
    begun, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def piece() -> None:
        begun.set()
        await gate.wait()
        ended.set()

    async def work() -> None:
        async with Ahead[None](4) as ahead:
            await ahead.begin(piece())

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
