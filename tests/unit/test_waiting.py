"""The bounded poll that the tests share."""

import asyncio

import pytest
from waiting import until, wait_until


async def test_the_first_true_answer_is_given_of_functions_and_of_coroutine_functions() -> None:
    answers = iter([0, None, "there"])
    assert await until(lambda: next(answers)) == "there"
    assert wait_until(iter([[], [7]]).__next__) == [7]

    async def asked() -> int:
        await asyncio.sleep(0)
        return 7

    assert await until(asked) == 7


async def test_what_does_not_come_true_ends_with_its_name() -> None:
    with pytest.raises(TimeoutError, match=r"the moon did not come true within 0\.01 s"):
        await until(lambda: False, seconds=0.01, what="the moon")
    with pytest.raises(TimeoutError, match="the sun"):
        wait_until(lambda: False, seconds=0.01, what="the sun")
