"""Errors of faces whose clients read a shape of their own."""

import pytest
from aiohttp import web

from edges.errors import SiteUnavailable
from gateway.dask.errors import NoPlacement
from gateway.own_shapes import shaped, told_of
from gateway.principal import Unauthenticated
from quotas.model import Explanation, Refusal

FULL = Explanation(
    policy="p",
    group="eo",
    edge="",
    resource="cores",
    kind="concurrent",
    limit=4.0,
    used=0.0,
    reserved=4.0,
    requested=1.0,
)


def _in_shape(error: Exception) -> web.StreamResponse:
    return web.Response(status=418, text=str(error))


async def _failing(error: Exception) -> web.StreamResponse:
    raise error


async def test_an_answer_is_given_as_it_is() -> None:
    async def answering() -> web.StreamResponse:
        return answer

    answer = web.Response()
    assert await shaped(answering(), _in_shape) is answer


async def test_an_error_that_says_its_status_is_told_in_the_clients_shape() -> None:
    told = await shaped(_failing(SiteUnavailable("edge-a", "gone")), _in_shape)
    assert told.status == 418


@pytest.mark.parametrize("defect", [ZeroDivisionError("ours"), web.HTTPFound("/elsewhere")])
async def test_a_defect_and_a_redirect_are_left_to_the_middleware(defect: Exception) -> None:
    with pytest.raises(type(defect)):
        await shaped(_failing(defect), _in_shape)


def test_who_has_not_said_who_asks_is_challenged_and_nobody_else() -> None:
    assert told_of(Unauthenticated("who?"), challenge="Basic").headers == {"WWW-Authenticate": "Basic"}
    assert told_of(SiteUnavailable("edge-a", "gone"), challenge="Basic").headers == {}


def test_a_refusal_behind_an_error_is_told_in_numbers_and_with_the_time_to_come_again() -> None:
    told = told_of(NoPlacement("no edge", Refusal(violated=(FULL,), retry_after=3.2)), challenge="")
    assert (told.status, told.text, told.headers) == (422, "no edge", {"Retry-After": "4"})
    assert [each["policy"] for each in told.members["violated-policies"]] == ["p"]
