"""One computation over two real edges: each does what it holds, a lost one's part is done by a replica."""

import asyncio
import os
from types import SimpleNamespace

import pytest
from aiohttp import web
from compute_clients import nothing_held
from compute_edges import make_dask_edge
from distributed import Client
from served_app import served
from waiting import until

from gateway.client import Computation, EdgeCost, Lake, LakeRefused, NothingComputed, Progress
from gateway.client.computation import FunctionFailed, connected
from quotas.memory import MemoryLedger

pytestmark = pytest.mark.service


def item(number: int, *sites: str) -> dict:
    href = f"s3://{sites[0]}/{number}"
    alternate = {site: {"href": f"s3://{site}/{number}"} for site in sites[1:]}
    return {
        "id": str(number),
        "properties": {"federation:backends": list(sites)},
        "assets": {"x": {"href": href, "alternate": alternate}},
    }


def cells() -> SimpleNamespace:
    """Return functions as a notebook has them: the edges do not have the module that they are in."""

    def number_and_bucket(one: dict) -> tuple[int, str]:
        return int(one["id"]), one["assets"]["x"]["href"].split("/")[2]

    def summed(results: list) -> tuple[int, list[str]]:
        return sum(number for number, _ in results), sorted({bucket for _, bucket in results})

    def wrong(one: dict) -> None:
        raise ZeroDivisionError(one["id"])

    return SimpleNamespace(number_and_bucket=number_and_bucket, summed=summed, wrong=wrong)


def lake(running) -> Lake:
    return Lake(running.url, user="alice", token="t-alice")


async def test_each_edge_computes_and_reduces_what_it_holds_and_the_results_are_combined(
    dask_edges, serve_dask
) -> None:
    items = [item(number, "edge-a" if number % 3 else "edge-b") for number in range(12)]
    seen: list[Progress] = []
    async with serve_dask(dask_edges) as running, lake(running) as used:
        computation = Computation(
            lake=used,
            function=cells().number_and_bucket,
            reduce=cells().summed,
            combine=lambda parts: sum(total for total, _ in parts),
            workers=1,
            progress=seen.append,
        )
        outcome = await asyncio.wait_for(computation.over_items(items), 90)
        assert dict(outcome.failed) == {}
        assert outcome.value == sum(range(12))
        assert outcome.partial == {"edge-a": (48, ["edge-a"]), "edge-b": (18, ["edge-b"])}
        assert (list(outcome.missing), dict(outcome.failed)) == ([], {})
        assert sorted((cost.edge, cost.items) for cost in outcome.costs) == [("edge-a", 8), ("edge-b", 4)]
        assert all(cost.seconds > 0 and cost.core_hours > 0 for cost in outcome.costs)
        assert {(step.edge, step.state) for step in seen} >= {("edge-a", "done"), ("edge-b", "running")}
        await nothing_held(running)


async def test_what_a_lost_edge_did_not_do_is_done_at_a_replica(dask_edges, serve_dask, tmp_path) -> None:
    lost = make_dask_edge("edge-c", tmp_path / "edge-c")
    items = [*(item(number, "edge-c", "edge-a") for number in range(4)), item(4, "edge-c"), item(5, "edge-a")]
    with lost.running() as server:
        edges = {"edge-a": dask_edges["edge-a"], "edge-c": lost}

        def lose(step: Progress) -> None:
            if (step.edge, step.state) == ("edge-c", "running") and server.poll() is None:
                os.killpg(server.pid, 9)
                server.wait()

        async with serve_dask(edges, ledger=MemoryLedger(())) as running, lake(running) as used:
            computation = Computation(
                lake=used, function=cells().number_and_bucket, workers=1, progress=lose, patience=1.0, start_seconds=60
            )
            outcome = await asyncio.wait_for(computation.over_items(items), 150)
            assert set(outcome.failed) == {"edge-c"}
            computed = dict(outcome.value)
            assert computed == dict.fromkeys((0, 1, 2, 3, 5), "edge-a")
            assert [one["id"] for one in outcome.missing] == ["4"]


async def test_an_error_of_the_function_ends_all_and_leaves_nothing(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, lake(running) as used:
        computation = Computation(lake=used, function=cells().wrong, workers=1)
        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.wait_for(computation.over_items([item(1, "edge-a"), item(2, "edge-b")]), 90)
        assert raised.group_contains(FunctionFailed, match="ZeroDivisionError")
        await until(lambda: not any(route.open for route in running.routes))
        assert await running.ledger.leases() == []


async def test_where_nothing_was_computed_each_edge_says_why(dask_edges, serve_dask) -> None:
    items = [item(1, "edge-a"), item(2, "edge-b")]
    async with serve_dask(dask_edges) as running, lake(running) as used:
        for wrong, words in (({"options": {"racks": 1}}, "unknown option"), ({"worker_cores": 99}, "worker_cores")):
            computation = Computation(lake=used, function=cells().summed, **wrong)
            with pytest.raises(NothingComputed, match=rf"edge-a: .*{words}.*; edge-b: .*{words}"):
                await asyncio.wait_for(computation.over_items(items), 60)
        with pytest.raises(NothingComputed, match="no edge that computes holds any of the 1 items"):
            await Computation(lake=used, function=cells().summed).over_items([item(3, "hub")])
        assert (await Computation(lake=used, function=cells().summed, combine=sum).over_items([])).value == 0
        await nothing_held(running)


async def test_a_search_is_read_to_its_end_and_refusals_are_told() -> None:
    async def search(request: web.Request) -> web.Response:
        body = await request.json()
        if request.headers["Authorization"] != "Bearer t":
            return web.json_response({"detail": "no such token"}, status=401)
        page = int(body.get("token", 0))
        links = [{"rel": "next", "body": {"token": str(page + 1)}}] if page < 2 else []
        features = [{"id": f"{page}-{n}", "collections": body["collections"]} for n in range(2)]
        return web.json_response({"features": features, "links": links})

    async def no_gateway(_: web.Request) -> web.Response:
        return web.Response(text="<html>", status=200)

    app = web.Application()
    app.add_routes([web.post("/search", search), web.get("/bridges.json", no_gateway)])
    async with served(app) as url:
        async with Lake(url, user="u", token="t") as used:
            found = await used.search({"collections": ["c"]})
            assert [each["id"] for each in found] == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
            assert len(await used.search({"collections": ["c"]}, limit=3)) == 3
            with pytest.raises(LakeRefused, match="is it the address of a gateway"):
                await used.edges()
        async with Lake(url + "/other", user="u", token="t") as used:
            with pytest.raises(LakeRefused, match="404: Not Found"):
                await used.search({})
        async with Lake(url, user="u", token="x") as used:
            with pytest.raises(LakeRefused, match="401: no such token"):
                await used.search({})
        with pytest.raises(RuntimeError, match="async with"):
            await used.search({})


def test_progress_and_costs_are_lines_to_print() -> None:
    assert str(Progress(edge="a", state="failed", done=0, total=8, reason="lost")) == "a: failed, 0 of 8 (lost)"
    assert (
        str(EdgeCost(edge="a", items=8, seconds=12.34, core_hours=0.00684)) == "a: 8 items, 12.3 s, 0.0068 core hours"
    )


async def test_a_client_that_is_cancelled_while_it_connects_is_closed():
    """Otherwise it tries to close itself when it is forgotten, by a loop that may be gone."""
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1") as scheduler:
        port = scheduler.sockets[0].getsockname()[1]
        client = Client(f"tcp://127.0.0.1:{port}", asynchronous=True, set_as_default=False)

        async def connecting() -> None:
            async with connected(client):
                raise AssertionError("nobody answered")

        task = asyncio.create_task(connecting())
        await asked.wait()
        assert client.status == "connecting"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.status == "closed"
