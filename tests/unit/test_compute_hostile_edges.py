"""Edges that answer what their protocol forbids: told by name, bounded, never believed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from served_app import served

from edges.compute import calls
from edges.compute.dask_gateway import DaskGateway
from edges.compute.errors import ComputeRefused, NotRunning
from edges.compute.jupyter import JupyterGateway
from edges.errors import NotFound, SiteMisbehaved, SiteUnavailable
from edges.model import ClusterCap, EdgeUser

ALICE = EdgeUser(name="alice")
CAP = ClusterCap(cores=1, memory=1)
SECRET = "s" * 32
GOOD = {"name": "n", "status": "RUNNING", "options": {}, "start_time": 1, "stop_time": None}


@asynccontextmanager
async def edge(answer: web.Response | None) -> AsyncIterator[tuple[DaskGateway, JupyterGateway]]:
    """Run a server that has one answer for everything (or none), and both adapters to it."""

    async def handle(request: web.Request) -> web.Response:
        if answer is None:
            request.transport.abort()
            return web.Response()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with served(app) as url, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield (
            DaskGateway(edge="edge-a", url=url, secret=SECRET, session=session, timeout_seconds=2),
            JupyterGateway(edge="edge-a", url=url, token="t", session=session, timeout_seconds=2),
        )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, SiteUnavailable),
        (web.Response(status=503), SiteUnavailable),
        (web.Response(status=302, headers={"Location": "http://169.254.169.254/"}), SiteMisbehaved),
        (web.Response(text="<html>"), SiteMisbehaved),
        (web.json_response([]), SiteMisbehaved),
        (web.json_response({"error": "wrong secret"}, status=401), SiteMisbehaved),
        (web.json_response({"error": "broken"}, status=500), SiteMisbehaved),
        (web.json_response({"error": "worker_cores must be <= 2"}, status=422), ComputeRefused),
        (web.json_response({"error": "not found"}, status=404), NotFound),
        (web.json_response({"error": "not running"}, status=409), NotRunning),
        (web.json_response({"name": 3}), SiteMisbehaved),
        (web.json_response({"name": "../../admin"}), SiteMisbehaved),
        (web.json_response({"name": "n?@evil.example:1/x"}), SiteMisbehaved),
        (web.json_response({"name": "x" * 60}), SiteMisbehaved),
        (web.json_response({"name": ""}), SiteMisbehaved),
    ],
)
async def test_each_answer_to_a_creation_has_its_error(answer, error) -> None:
    async with edge(answer) as (dask, _):
        with pytest.raises(error):
            await dask.create(ALICE, {}, CAP)


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        {},
        GOOD | {"status": "EVIL"},
        GOOD | {"options": 3},
        GOOD | {"start_time": "now"},
        GOOD | {"name": "A/B"},
        {key: value for key, value in GOOD.items() if key != "name"},
    ],
)
async def test_reports_of_another_shape_are_refused(report) -> None:
    async with edge(web.json_response(report)) as (dask, _):
        with pytest.raises(SiteMisbehaved, match="edge-a"):
            await dask.report(ALICE, "n")


async def test_members_that_the_client_could_not_take_are_dropped() -> None:
    async with edge(web.json_response(GOOD | {"scheduler_address": "gateway://evil", "extra": 1})) as (dask, _):
        report = await dask.report(ALICE, "n")
    assert report is not None
    assert not hasattr(report, "scheduler_address")


async def test_another_users_cluster_reads_as_none() -> None:
    async with edge(web.json_response({"error": "no"}, status=403)) as (dask, _):
        assert await dask.report(ALICE, "n") is None


async def test_an_answer_without_end_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr(calls, "MAX_ANSWER_BYTES", 1000)
    async with edge(web.Response(body=b"[" * 2000)) as (dask, jupyter):
        for call in (dask.options(ALICE), jupyter.specs(), jupyter.kernels()):
            with pytest.raises(SiteMisbehaved, match="larger than 1000"):
                await call


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (web.json_response({"id": "../x", "name": "python3"}), SiteMisbehaved),
        (web.json_response({"id": "k"}), SiteMisbehaved),
        (web.json_response(3), SiteMisbehaved),
        (web.json_response({"message": "Resource Limit"}, status=403), ComputeRefused),
        (web.json_response({"message": "gone"}, status=404), NotFound),
        (web.Response(status=500), SiteMisbehaved),
        (None, SiteUnavailable),
    ],
)
async def test_each_answer_to_a_start_has_its_error(answer, error) -> None:
    async with edge(answer) as (_, jupyter):
        with pytest.raises(error):
            await jupyter.start("python3", {})


async def test_a_kernel_that_is_gone_is_none_and_ending_it_is_done() -> None:
    async with edge(web.json_response({"message": "gone"}, status=404)) as (_, jupyter):
        assert await jupyter.kernel("k") is None
        await jupyter.stop("k")


async def test_the_token_is_in_a_header_and_not_in_the_address() -> None:
    async with edge(None) as (dask, jupyter):
        upstream = jupyter.channels("k", "a b&c")
        assert upstream.headers == {"Authorization": "token t"}
        assert upstream.url.endswith("/api/kernels/k/channels?session_id=a+b%26c")
        assert dask.dashboard("n").headers == {}
