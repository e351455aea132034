"""One computation over a search of a whole gateway: real catalogues, real edges, the ledger behind it."""

import asyncio
import os
from types import SimpleNamespace

import aiohttp
import msgspec
import pytest
from compute_edges import make_dask_edge
from free_ports import free_port
from whole_lake import COLLECTION, TOKEN, USER, whole_lake

from edges.settings import CatalogueSettings, SiteSettings
from gateway.client import Computation, Lake, LakeRefused, Progress

pytestmark = pytest.mark.service


def cells() -> SimpleNamespace:
    """Return functions as a notebook has them: the edges do not have the module that they are in."""

    def number_and_bucket(item: dict) -> tuple[int, str]:
        return int(item["id"]), item["assets"]["x"]["href"].split("/")[2]

    def summed(results: list) -> tuple[int, list[str]]:
        return sum(number for number, _ in results), sorted({bucket for _, bucket in results})

    return SimpleNamespace(number_and_bucket=number_and_bucket, summed=summed)


async def told(url: str, path: str) -> dict:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url + path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def known(url: str, count: int) -> None:
    """Wait until a search finds all items: the gateway has learned of its sites."""
    async with asyncio.timeout(60):
        while len((await told(url, f"/search?collections={COLLECTION}&limit=100"))["features"]) < count:  # noqa: ASYNC110 - asked over a socket
            await asyncio.sleep(0.1)


async def nothing_left(url: str) -> None:
    """Wait until no cluster runs and no quota is held."""

    async def left() -> bool:
        standing = await told(url, "/quotas/me")
        held = [each["reserved"] + each["used"] for each in standing["quotas"] if each["resource"] == "clusters"]
        assert held, standing
        return any(held) or bool(await told(url, "/api/v1/clusters/"))

    async with asyncio.timeout(60):
        while await left():  # noqa: ASYNC110 - asked over a socket
            await asyncio.sleep(0.2)


async def test_a_search_is_computed_where_its_items_are_and_nothing_is_left(dask_edges, tmp_path) -> None:
    held = {"edge-a": range(8), "edge-b": range(6, 12)}
    seen: list[Progress] = []
    async with whole_lake(dask_edges, held, tmp_path) as url:
        await known(url, 12)
        async with Lake(url, user=USER, token=TOKEN) as lake:
            computation = Computation(
                lake=lake,
                function=cells().number_and_bucket,
                reduce=cells().summed,
                combine=lambda parts: sum(total for total, _ in parts),
                workers=1,
                progress=seen.append,
            )
            search = {"collections": [COLLECTION], "datetime": "2026-01-03T00:00:00Z/.."}
            outcome = await asyncio.wait_for(computation.over(search), 120)
        assert (dict(outcome.failed), list(outcome.missing)) == ({}, [])
        assert outcome.value == sum(range(2, 12))
        # each edge read its own copies, of what both hold too
        assert {edge: buckets for edge, (_, buckets) in outcome.partial.items()} == {
            "edge-a": ["edge-a"],
            "edge-b": ["edge-b"],
        }
        assert sum(cost.items for cost in outcome.costs) == 10
        assert {(step.edge, step.state) for step in seen} >= {("edge-a", "done"), ("edge-b", "done")}
        await nothing_left(url)


async def test_what_a_killed_edge_did_not_do_is_done_where_its_replicas_are(dask_edges, tmp_path) -> None:
    lost = make_dask_edge("edge-c", tmp_path / "edge-c")
    with lost.running() as server:
        edges = {"edge-a": dask_edges["edge-a"], "edge-c": lost}

        def lose(step: Progress) -> None:
            if (step.edge, step.state) == ("edge-c", "running") and server.poll() is None:
                os.killpg(server.pid, 9)
                server.wait()

        async with whole_lake(edges, {"edge-a": (0, 1, 5), "edge-c": (0, 1, 2)}, tmp_path / "state") as url:
            await known(url, 4)
            async with Lake(url, user=USER, token=TOKEN) as lake:
                computation = Computation(
                    lake=lake,
                    function=cells().number_and_bucket,
                    workers=1,
                    progress=lose,
                    patience=1.0,
                    start_seconds=60,
                )
                outcome = await asyncio.wait_for(computation.over({"collections": [COLLECTION]}), 150)
            assert set(outcome.failed) == {"edge-c"}
            assert dict(outcome.value) == dict.fromkeys((0, 1, 5), "edge-a")
            assert [item["id"] for item in outcome.missing] == ["2"]
            with lost.running():  # what could not be ended there is ended when it is back
                await nothing_left(url)


async def test_a_search_that_lacks_a_site_is_refused_unless_told_otherwise(dask_edges, tmp_path) -> None:
    silent = SiteSettings(
        id="silent", kind="hub", catalogue=CatalogueSettings(url=f"http://127.0.0.1:{free_port()}", timeout_seconds=2)
    )
    held = {"edge-a": range(3), "edge-b": range(3, 5)}
    async with whole_lake(
        dask_edges,
        held,
        tmp_path,
        changed=lambda settings: msgspec.structs.replace(settings, sites=(*settings.sites, silent)),
    ) as url:
        await known(url, 5)
        async with Lake(url, user=USER, token=TOKEN) as lake:
            with pytest.raises(LakeRefused, match=r"POST /search: 50\d: .*silent"):
                await lake.search({"collections": [COLLECTION]})
            assert len(await lake.search({"collections": [COLLECTION]}, strict=False)) == 5
