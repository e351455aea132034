"""Harvests as OGC API Processes, over real sockets."""

from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from harvest_asking import BASE, by_header, call
from harvest_scene import EDGE, GROUP, HUB, make_item, sha256
from served_app import served

from gateway.middleware import problems_middleware
from gateway.processes.face import ProcessesFace
from harvest.model import FoundItem

pytestmark = pytest.mark.service

BODY = b"pixels" * 500
WISH = {"inputs": {"target": EDGE, "collections": ["s2"]}}


@asynccontextmanager
async def serving(scene, **running):
    async with scene.running(**running) as live:
        app = web.Application(middlewares=[problems_middleware, by_header])
        app.add_routes(ProcessesFace(harvester=live.harvester, base=BASE).routes())
        headers = {"X-Test-User": f"ann:{GROUP}"}
        async with served(app) as url, aiohttp.ClientSession(url, headers=headers) as client:
            yield live, client


def publish(scene, origin, *, there=True):
    if there:
        origin.add("B02.tif", BODY)
    asset = {"href": f"{origin.url}/B02.tif", "file:checksum": sha256(BODY), "file:size": len(BODY)}
    scene.found.append(FoundItem(site=HUB, item=make_item("i1", {"B02": asset})))


async def test_an_execution_becomes_a_job_that_ends_with_its_results(scene, origin):
    publish(scene, origin)
    async with serving(scene) as (live, client):
        status, job, headers = await call(client, "POST", "/processes/harvest/execution", WISH, Prefer="respond-async")
        assert (status, headers["Preference-Applied"]) == (201, "respond-async")
        assert headers["Location"] == f"{BASE}/jobs/{job['jobID']}"
        assert (job["type"], job["processID"]) == ("process", "harvest")
        await live.settled(job["jobID"])
        _, ended, _ = await call(client, "GET", f"/jobs/{job['jobID']}")
        assert (ended["status"], ended["progress"]) == ("successful", 100)
        _, results, _ = await call(client, "GET", f"/jobs/{job['jobID']}/results")
        assert results["objects"][0]["checksum"] == sha256(BODY)
        assert await live.read(results["objects"][0]["href"]) == BODY


async def test_results_of_a_running_job_are_not_ready_and_a_dismissed_job_is_gone(scene, origin):
    publish(scene, origin)
    async with serving(scene, workers=0) as (_, client):
        _, job, _ = await call(client, "POST", "/processes/harvest/execution", WISH)
        path = f"/jobs/{job['jobID']}"
        status, problem, _ = await call(client, "GET", f"{path}/results")
        assert (status, problem["type"].rsplit("/", 1)[1]) == (404, "result-not-ready")
        status, dismissed, _ = await call(client, "DELETE", path)
        assert (status, dismissed["status"]) == (200, "dismissed")
        assert (await call(client, "DELETE", path))[0] == 410


async def test_a_failed_job_tells_object_by_object_why(scene, origin):
    publish(scene, origin, there=False)
    async with serving(scene) as (live, client):
        _, job, _ = await call(client, "POST", "/processes/harvest/execution", WISH)
        await live.settled(job["jobID"])
        _, ended, _ = await call(client, "GET", f"/jobs/{job['jobID']}")
        assert ended["status"] == "failed"
        _, results, _ = await call(client, "GET", f"/jobs/{job['jobID']}/results")
        assert "404" in results["objects"][0]["reason"]


async def test_jobs_are_seen_by_their_group_and_by_administrators_only(scene, origin):
    publish(scene, origin)
    async with serving(scene, workers=0) as (_, client):
        _, job, _ = await call(client, "POST", "/processes/harvest/execution", WISH)
        path = f"/jobs/{job['jobID']}"
        for method, tail in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
            status, problem, _ = await call(client, method, path + tail, X_Test_User="eve:root/others")
            assert (status, problem["type"].rsplit("/", 1)[1]) == (404, "no-such-job")
        assert (await call(client, "GET", "/jobs", X_Test_User="eve:root/others"))[1]["jobs"] == []
        assert len((await call(client, "GET", "/jobs", X_Test_User="root:root"))[1]["jobs"]) == 1
        assert (await call(client, "GET", "/jobs", X_Test_User=""))[0] == 401


async def test_an_idempotency_key_gives_one_job_and_refuses_another_order(scene, origin):
    publish(scene, origin)
    async with serving(scene, workers=0) as (_, client):
        path = "/processes/harvest/execution"
        first = (await call(client, "POST", path, WISH, Idempotency_Key="k"))[1]
        again = (await call(client, "POST", path, WISH, Idempotency_Key="k"))[1]
        assert again["jobID"] == first["jobID"]
        other = {"inputs": WISH["inputs"] | {"assets": ["B03"]}}
        assert (await call(client, "POST", path, other, Idempotency_Key="k"))[0] == 422


async def test_an_estimate_is_answered_at_once_and_says_what_the_quota_says(scene, origin):
    publish(scene, origin)
    scene.limits = {"storage_bytes": 1}
    async with serving(scene, workers=0) as (_, client):
        status, estimate, _ = await call(client, "POST", "/processes/harvest-estimate/execution", WISH)
        assert (status, estimate["bytes"], estimate["objects"]) == (200, len(BODY), 1)
        assert "storage_bytes" in estimate["refusal"]
        status, problem, _ = await call(client, "POST", "/processes/harvest/execution", WISH)
        assert 400 <= status < 500
        assert "storage_bytes" in problem["detail"]


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"collections": ["s2"]}, "inputs.target"),
        ({"target": EDGE}, "inputs"),
        ({"target": EDGE, "collections": ["s2"], "assets": "B02"}, "inputs.assets"),
        ({"target": EDGE, "collections": ["s2"], "integrity": "no"}, "inputs.integrity"),
        ({"target": EDGE, "collections": ["s2"], "password": "x"}, "inputs.password"),
    ],
)
async def test_wrong_inputs_are_named(scene, inputs, field):
    async with serving(scene, workers=0) as (_, client):
        status, problem, _ = await call(client, "POST", "/processes/harvest/execution", {"inputs": inputs})
        assert (status, problem["field"]) == (400, field)


async def test_processes_describe_themselves_and_unknown_ones_are_told_in_the_standards_words(scene):
    async with serving(scene, workers=0) as (_, client):
        _, listed, _ = await call(client, "GET", "/processes")
        assert [each["id"] for each in listed["processes"]] == ["harvest", "harvest-estimate"]
        _, described, _ = await call(client, "GET", "/processes/harvest")
        assert described["inputs"]["target"]["schema"] == {"type": "string"}
        status, problem, _ = await call(client, "GET", "/processes/nothing")
        assert (status, problem["type"].rsplit("/", 1)[1]) == (404, "no-such-process")
