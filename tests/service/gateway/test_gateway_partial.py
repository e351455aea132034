"""A partial answer as a contract: who answered, who was skipped or failed and why, and who may not be missing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from federated_lake import Client, gateway_over, hub, item, site_of
from hostile_sites import LIMITS, Answer, HostileSite, hostile, page

from edges.budget import Rate

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

GOOD = [item(f"good-{n:02}", "good", day=n) for n in range(1, 13)]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def good(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with site_of(GOOD, tmp_path_factory.mktemp("good") / "good.db") as url:
        yield url


@asynccontextmanager
async def beside(good: str, state: Path, answer: Answer, **catalogue: Any) -> AsyncIterator[tuple[Client, HostileSite]]:
    async with hostile(answer) as site:
        sites = [hub("good", good), hub("bad", site.url, **catalogue)]
        async with gateway_over(sites, state, limits=LIMITS) as client:
            site.requests.clear()
            yield client, site


async def empty(request: web.Request) -> web.Response:
    return page([])


async def failing(request: web.Request) -> web.Response:
    return web.Response(status=500, text="no")


async def test_required_sites_may_not_be_missing_and_others_may(good: str, tmp_path: Path) -> None:
    async with beside(good, tmp_path, failing) as (client, _):
        for required in ("good", ["good"], ""):
            status, found = await client.post({"limit": 1, "require": required})
            assert (status, found["federation:missing"]) == (200, ["bad"])
        for required in ("bad", "good,bad", ["good", "bad"]):
            status, problem = await client.post({"limit": 1, "require": required})
            assert (status, problem["title"]) == (502, "A site is missing")
            assert problem["sites"]["bad"]["code"] in ("error", "breaker")
        status, problem = await client.get("/search", limit=1, require="good,bad")
        assert (status, problem["title"]) == (502, "A site is missing")
        status, found = await client.get("/collections/good/items", limit=1, require="good")
        assert (status, len(found["features"])) == (200, 1)


@pytest.mark.parametrize("required", ["nobody", ["good", "nobody"], 5, [5], {"a": 1}, ["x"] * 101])
async def test_a_requirement_that_names_no_site_is_refused(good: str, tmp_path: Path, required: Any) -> None:
    async with beside(good, tmp_path, empty) as (client, _):
        status, problem = await client.post({"require": required})
        assert (status, problem["field"]) == (400, "require")


async def test_where_all_sites_fail_the_problem_tells_of_each(tmp_path: Path) -> None:
    async with hostile(failing) as site:
        dead = hub("dead", "http://127.0.0.1:9", timeout_seconds=1.0)
        async with gateway_over([hub("bad", site.url), dead], tmp_path, limits=LIMITS) as client:
            async with client.session.get(f"{client.url}/search") as response:
                assert response.status == 502
                assert response.content_type == "application/problem+json"
                problem = await response.json(content_type=None)
            assert problem["title"] == "No site answered"
            assert problem["sites"]["bad"]["code"] == "error"
            assert problem["sites"]["dead"]["code"] == "unreachable"
            assert "127.0.0.1" not in str(problem)


async def test_a_partial_answer_is_not_to_be_stored_and_says_what_it_lacks(good: str, tmp_path: Path) -> None:
    async with beside(good, tmp_path, failing) as (client, _):
        async with client.session.get(f"{client.url}/search") as response:
            assert response.headers["Cache-Control"] == "no-store"
            found = await response.json(content_type=None)
        report = found["federation"]["bad"]
        assert (report["status"], report["code"], report["missing"]) == ("failed", "error", True)
        assert "numberMatched" not in found
        good_report = found["federation"]["good"]
        assert (good_report["status"], good_report["items"], good_report["missing"]) == ("answered", 10, False)
        assert good_report["milliseconds"] > 0


async def test_a_site_beyond_its_budget_is_skipped_and_not_blamed(good: str, tmp_path: Path) -> None:
    rate = Rate(per_second=0.01, burst=8.0)
    async with beside(good, tmp_path, empty, rate=rate, wait_seconds=0.05) as (client, site):
        codes = []
        for day in range(1, 12):
            _, found = await client.post({"datetime": f"2024-01-{day:02}T00:00:00Z"})
            codes.append(found["federation"]["bad"]["code"])
            assert found["federation"]["bad"]["status"] == ("skipped" if codes[-1] else "answered")
            assert found["federation:missing"] == (["bad"] if codes[-1] else [])
        assert codes[0] == ""
        assert codes[-1] == "budget"
        assert len(site.requests) <= 8
        _, told = await client.get("/sites/bad")
        assert (told["health"]["status"], told["breaker"]["state"]) == ("up", "closed")


async def test_requests_under_a_rate_wait_for_their_turn(good: str, tmp_path: Path) -> None:
    moments: list[float] = []

    async def timed(request: web.Request) -> web.Response:
        moments.append(time.monotonic())
        return page([])

    async with beside(good, tmp_path, timed, rate=Rate(per_second=20.0, burst=1.0)) as (client, _):
        moments.clear()
        bodies = [{"datetime": f"2024-01-{day:02}T00:00:00Z"} for day in range(1, 9)]
        begun = time.monotonic()
        answers = await asyncio.gather(*(client.post(body) for body in bodies))
        assert all(found["federation:missing"] == [] for _, found in answers)
        assert moments[-1] - begun >= (len(moments) - 1) / 20.0


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_that_a_site_asks_for_is_kept(good: str, tmp_path: Path, status: int) -> None:
    async def resting(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "120"})

    async with beside(good, tmp_path, resting) as (client, site):
        _, first = await client.post({"limit": 1})
        asked = len(site.requests)
        for limit in (2, 3, 4, 5):
            _, found = await client.post({"limit": limit})
            report = found["federation"]["bad"]
            assert (report["status"], report["code"]) == ("skipped", "resting")
            assert found["federation:missing"] == ["bad"]
        assert first["federation:missing"] == ["bad"]
        assert len(site.requests) == asked


async def test_a_short_pause_is_waited_for_within_the_search(good: str, tmp_path: Path) -> None:
    refusals = [web.Response(status=503, headers={"Retry-After": "0"}) for _ in range(1)]

    async def once(request: web.Request) -> web.StreamResponse:
        return refusals.pop() if refusals and request.method == "POST" else page([item("late", "bad", day=30)])

    async with beside(good, tmp_path, empty) as (client, site):
        site.answer = once
        _, found = await client.post({"limit": 1})
        assert [each["id"] for each in found["features"]] == ["late"]
        assert refusals == []


async def test_a_site_that_comes_and_goes_rejoins_a_walk_without_disturbing_its_order(tmp_path: Path) -> None:
    """The flapping site is a real catalogue behind a door that closes for one page of the walk."""
    flappy = [item(f"flap-{n:02}", "flap", day=n) for n in range(1, 13)]
    closed = False
    async with site_of(GOOD, tmp_path / "good.db") as good, site_of(flappy, tmp_path / "flap.db") as behind:

        async def door(request: web.Request) -> web.Response:
            if closed:
                return web.Response(status=500)
            async with (
                aiohttp.ClientSession() as session,
                session.request(
                    request.method,
                    behind + request.path_qs,
                    data=await request.read(),
                    headers={"Content-Type": request.content_type},
                ) as answer,
            ):
                body = (await answer.read()).replace(behind.encode(), site.url.encode())
                return web.Response(status=answer.status, body=body, content_type="application/json")

        async with hostile(door, collections=("flap",)) as site:
            sites = [hub("good", good), hub("flap", site.url)]
            async with gateway_over(sites, tmp_path / "state", limits=LIMITS) as client:
                found: list[Any] = []
                missing: list[list[str]] = []
                body: Any = {"limit": 5}
                while body is not None:
                    closed = len(missing) == 1
                    _, answer = await client.post(body)
                    found += answer["features"]
                    missing.append(answer["federation:missing"])
                    body = next((link["body"] for link in answer["links"] if link["rel"] == "next"), None)
                assert missing == [[], ["flap"], *([[]] * (len(missing) - 2))]
                days = [each["properties"]["datetime"] for each in found]
                names = [each["id"] for each in found]
                assert days == sorted(days, reverse=True)
                assert len(set(names)) == len(names)
                assert {each for each in names if each.startswith("good")} == {each["id"] for each in GOOD}
                assert [each for each in names if each.startswith("flap")] != []


async def test_a_site_that_fails_again_and_again_is_left_out_and_told_as_such(good: str, tmp_path: Path) -> None:
    async with beside(good, tmp_path, failing) as (client, site):
        for _ in range(4):
            _, found = await client.post({"limit": 1})
        report = found["federation"]["bad"]
        assert (report["status"], report["code"], report["missing"]) == ("skipped", "breaker", True)
        _, told = await client.get("/sites/bad")
        assert told["breaker"]["state"] == "open"
        assert told["breaker"]["asked_again_after"]
        asked = len(site.requests)
        await client.post({"limit": 2})
        assert len(site.requests) == asked


async def test_metrics_tell_of_each_site_with_few_labels(good: str, tmp_path: Path) -> None:
    async with beside(good, tmp_path, failing) as (client, _):
        for _ in range(4):
            await client.post({"limit": 1})
        async with client.session.get(f"{client.url}/metrics") as response:
            text = await response.text()
    assert 'lakegate_site_requests_total{outcome="error",site="bad"}' in text
    assert 'lakegate_site_breaker{site="bad",state="open"} 1.0' in text
    assert 'lakegate_site_up{site="bad"} 0.0' in text
    assert 'lakegate_site_parts_total{code="answered",site="good"} 4.0' in text
    assert 'lakegate_site_parts_total{code="breaker",site="bad"}' in text
    assert 'lakegate_site_request_seconds_count{site="good"}' in text
    assert 'lakegate_site_items_total{fate="fetched",site="good"}' in text


async def test_what_a_site_was_caught_at_is_told_with_an_example_for_administrators_only(tmp_path: Path) -> None:
    async def unordered(request: web.Request) -> web.Response:
        return page([item("a", "bad", day=1), item("b", "bad", day=9), item("c", "bad", day=5)])

    async with hostile(unordered) as site, gateway_over([hub("bad", site.url)], tmp_path, limits=LIMITS) as client:
        await client.post({"limit": 10})
        _, told = await client.get("/sites/bad")
        (order,) = [each for each in told["caught"] if each["kind"] == "order"]
        assert order["text"] == "does not keep the order it was asked for"
        assert order["count"] >= 1
        assert order["since"] <= order["last"]
        assert "example" not in order
        assert told["claims"]["sort"] is True
        assert told["capabilities"]["sort"] is False or order
