import base64

import aiohttp
import pytest
from compute_clients import client, ended, nothing_held
from dask_gateway.client import GatewayWarning

from quotas.model import Line

pytestmark = pytest.mark.service


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:t-{user}".encode()).decode()}


async def test_an_unmodified_client_computes_on_the_edge_that_holds_the_data(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, ended(client(running.url)) as gateway:
        cluster = await gateway.new_cluster(collections="landsat-c2-l2")
        async with cluster, await cluster.get_client(set_as_default=False) as dask:
            await cluster.scale(1)
            assert await dask.submit(lambda: 6 * 7) == 42
            (report,) = await gateway.list_clusters()
            assert report.options["edge"] == "edge-b"
            assert report.options["collections"] == "landsat-c2-l2"
            assert report.scheduler_address == f"gateway://127.0.0.1:{running.port}/{report.name}"
            (lease,) = await running.ledger.leases()
            assert Line(resource="cores", amount=3.0, edge="edge-b") in lease.lines
        await cluster.shutdown()
        await nothing_held(running)


async def test_the_options_are_ours_and_the_union_of_the_edges(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, client(running.url) as gateway:
        options = await gateway.cluster_options()
    assert dict(options)["edge"] == "auto"
    assert "lakegate_id" not in dict(options)
    options.worker_cores = 2
    with pytest.raises(ValueError, match=r"between|<= 2|at most"):
        options.worker_cores = 3


async def test_refusals_reach_the_notebook_in_words(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, ended(client(running.url)) as gateway:
        with pytest.raises(ValueError, match=r"no edge holds .*landsat-c2-l2.* at edge-a"):
            await gateway.new_cluster(edge="edge-a", collections="landsat-c2-l2")
        with pytest.raises(ValueError, match="unknown edge 'edge-x'; expected one of auto, edge-a, edge-b"):
            await gateway.new_cluster(edge="edge-x")
        with pytest.raises(ValueError, match="worker_cores"):
            await gateway.new_cluster(edge="edge-b", worker_cores=99)
        with pytest.raises(ValueError, match="unknown option"):
            await gateway.new_cluster(edge="edge-b", racks=1)
        with pytest.raises(ValueError, match="no edge has GPUs"):
            await gateway.new_cluster(edge="edge-b", gpus=1)
        await nothing_held(running)
        for _ in range(3):
            await gateway.submit()
        with pytest.raises(ValueError, match=r"'team-clusters'.*3 of 3 clusters taken"):
            await gateway.submit()
        assert sum(route.open for route in running.routes) == 3
    assert not any(route.state == "live" for route in running.routes)


async def test_scaling_beyond_the_cap_is_trimmed_and_told(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, ended(client(running.url)) as gateway:
        cluster = await gateway.new_cluster(edge="edge-a")
        async with cluster:
            with pytest.warns(GatewayWarning, match="exceed resource limit of 2 workers"):
                await cluster.scale(50)
            with pytest.warns(GatewayWarning, match="exceed resource limit"):
                await cluster.adapt(minimum=0, maximum=50)


async def test_the_client_authenticates_once_and_then_comes_with_our_cookie(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, client(running.url) as gateway:
        await gateway.list_clusters()
        await gateway.list_clusters()
    assert [status for _, _, status in running.requests] == [401, 200, 200]


async def test_another_user_sees_and_touches_nothing(dask_edges, serve_dask) -> None:
    async with (
        serve_dask(dask_edges) as running,
        ended(client(running.url)) as alice,
        client(running.url, "bob") as bob,
    ):
        name = await alice.submit(edge="edge-a")
        assert await bob.list_clusters() == []
        with pytest.raises(ValueError, match="not found"):
            await bob.get_cluster(name)
        await bob.stop_cluster(name)
        assert [report.name for report in await alice.list_clusters()] == [name]


async def test_without_credentials_there_is_a_401_that_asks_for_basic(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, aiohttp.ClientSession() as session:
        async with session.get(running.url + "/api/v1/options") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
            assert "error" in await response.json()
        async with session.get(running.url + "/api/version") as response:
            assert await response.json() == {"version": "2026.3.0"}


async def test_dashboards_and_their_websockets_pass_for_the_owner_only(dask_edges, serve_dask) -> None:
    async with serve_dask(dask_edges) as running, ended(client(running.url)) as gateway:
        cluster = await gateway.new_cluster(edge="edge-a")
        link = cluster.dashboard_link
        async with cluster, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(link) as refused:
                assert refused.status == 401
            async with browser.get(link, headers=basic("bob")) as foreign:
                assert foreign.status == 404
            browser.cookie_jar.clear()
            async with browser.get(link, headers=basic("alice")) as page:
                assert page.status == 200
                assert "Dask" in await page.text()
                assert "Set-Cookie" in page.headers
            async with browser.get(link) as again:  # by the cookie alone
                assert again.status == 200
            base = link.removesuffix("/status")
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await browser.ws_connect(base + "/eventstream", origin="http://evil.example")
            async with browser.ws_connect(base + "/eventstream", origin="http://localhost") as socket:
                assert not socket.closed


async def test_a_browsers_cookie_is_not_believed_by_the_api(dask_edges, serve_dask) -> None:
    async with (
        serve_dask(dask_edges) as running,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
    ):
        url = running.url + "/api/v1/clusters/"
        async with browser.get(url, headers=basic("alice")) as response:
            assert response.status == 200
        async with browser.get(url) as response:
            assert response.status == 200
        async with browser.get(url, headers={"Sec-Fetch-Site": "same-origin"}) as response:
            assert response.status == 401


async def test_clusters_survive_a_restart_of_the_gateway(dask_edges, serve_dask, tmp_path) -> None:
    async with serve_dask(dask_edges, state=tmp_path) as running, client(running.url) as gateway:
        name = await gateway.submit(edge="edge-b")
        ledger = running.ledger
    async with serve_dask(dask_edges, state=tmp_path, ledger=ledger) as running, ended(client(running.url)) as gateway:
        async with gateway.connect(name) as cluster, await cluster.get_client(set_as_default=False) as dask:
            assert (await dask.run_on_scheduler(lambda dask_scheduler: dask_scheduler.id)).startswith("Scheduler")
        await gateway.stop_cluster(name)
        await nothing_held(running)


async def test_options_that_a_wrong_body_names_are_refused_with_422(dask_edges, serve_dask) -> None:
    headers = {"Authorization": "Bearer t-alice"}
    async with serve_dask(dask_edges) as running, aiohttp.ClientSession(headers=headers) as session:
        for body in (b"[", b"[]", b'{"cluster_options": 3}', b'{"cluster_options": {"items": 3}}'):
            async with session.post(running.url + "/api/v1/clusters/", data=body) as response:
                assert response.status == 422, body
                assert (await response.json())["error"]
        async with session.get(running.url + "/api/v1/clusters/?status=BROKEN") as response:
            assert response.status == 422
        async with session.delete(running.url + "/api/v1/clusters/nothing") as response:
            assert response.status == 204
