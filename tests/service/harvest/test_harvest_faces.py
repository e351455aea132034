"""``/harvests``, callbacks, webhooks and audits, over real sockets."""

import hmac
import json
from base64 import b64encode
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from harvest_asking import BASE, by_header, call
from harvest_scene import EDGE, GROUP, HUB, make_item, quick, sha256
from served_app import served
from waiting import until

from gateway.harvests.face import HarvestsFace
from gateway.harvests.metrics import HarvestMetrics
from gateway.middleware import problems_middleware
from gateway.processes.documents import callback_document
from gateway.processes.face import ProcessesFace
from harvest.model import FoundItem
from harvest.seams import Webhooks

pytestmark = pytest.mark.service

BODY = b"pixels" * 500
RULE = {"name": "alps", "source": {"collections": ["s2"]}, "target": {"edges": "*"}, "mode": "once"}
WISH = {"inputs": {"target": EDGE, "collections": ["s2"]}}
KEY = b"a webhook key"


class Listener:
    """Takes webhooks; refuses the first ``failures``."""

    def __init__(self):
        self.got = []
        self.failures = 0

    @asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_post("/{name}", self._take)
        async with served(app) as url:
            self.host = url.removeprefix("http://")
            yield self

    async def _take(self, request):
        body = await request.read()
        if self.failures:
            self.failures -= 1
            return web.Response(status=503)
        self.got.append((request.match_info["name"], dict(request.headers), body))
        return web.Response(status=204)

    async def named(self, name, seconds=15.0):
        return await until(lambda: next((got for got in self.got if got[0] == name), None), seconds=seconds, what=name)


@pytest.fixture
async def listener():
    async with Listener().serving() as serving:
        yield serving


@asynccontextmanager
async def serving(scene, hosts=(), **running):
    webhooks = Webhooks(source=BASE, keys={"": KEY}, callbacks=lambda *told: callback_document(*told, base=BASE))
    async with scene.running(webhooks=webhooks, **running) as live:
        app = web.Application(middlewares=[problems_middleware, by_header])
        for face in (ProcessesFace, HarvestsFace):
            app.add_routes(face(harvester=live.harvester, base=BASE, callback_hosts=hosts).routes())
        headers = {"X-Test-User": f"ann:{GROUP}"}
        async with served(app) as url, aiohttp.ClientSession(url, headers=headers) as client:
            yield live, client


def publish(scene, origin, item_id="i1"):
    origin.add(f"{item_id}.tif", BODY)
    asset = {"href": f"{origin.url}/{item_id}.tif", "file:checksum": sha256(BODY), "file:size": len(BODY)}
    scene.found.append(FoundItem(site=HUB, item=make_item(item_id, {"B02": asset})))


async def once(client, path, condition, seconds=15.0, **headers):
    """Return what is told once it is as it should be; it is an object, never empty."""

    async def as_it_should_be():
        _, told, _ = await call(client, "GET", path, **headers)
        return told if condition(told) else None

    return await until(as_it_should_be, seconds=seconds, pause=0.02, what=f"what {path} tells")


async def test_a_rule_is_made_followed_explained_and_ended(scene, origin):
    publish(scene, origin)
    async with serving(scene) as (_, client):
        status, made, headers = await call(client, "POST", "/harvests", RULE)
        assert (status, headers["Location"]) == (201, f"{BASE}/harvests/{made['id']}")
        path = f"/harvests/{made['id']}"
        await once(client, path, lambda told: told["state"] == "OK")
        _, items, _ = await call(client, "GET", f"{path}/items")
        assert items["items"][0]["state"] == "AVAILABLE"
        _, explained, _ = await call(client, "GET", f"{path}/explain")
        assert explained["state"] == "OK"
        status, changed, _ = await call(client, "PATCH", path, {"priority": 5, "lifetime": "P1D"})
        assert (status, changed["rule"]["priority"], changed["rule"]["lifetime"]) == (200, 5, "P1D")
        assert (await call(client, "DELETE", path))[0] == 200
        assert (await call(client, "DELETE", path))[0] == 410
        assert (await call(client, "GET", "/harvests"))[1]["harvests"][0]["state"] == "CANCELLED"


async def test_a_dry_run_tells_items_bytes_and_quota_and_writes_nothing(scene, origin):
    publish(scene, origin)
    async with serving(scene, workers=0) as (_, client):
        status, told, _ = await call(client, "POST", "/harvests?dry-run=true", RULE)
        assert (status, told["bytes"], told["targets"][0]["items"]) == (200, len(BODY), 1)
        assert (await call(client, "GET", "/harvests"))[1]["harvests"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"target": {"edges": "nowhere="}}, "target.edges"),
        ({"source": {}}, "source"),
        ({"source": {"collections": ["s2"], "user": 1}}, "source.user"),
        ({"purge": "maybe"}, "purge"),
        ({"expires": "soon"}, "expires"),
        ({"notify": {"url": "http://169.254.169.254/"}}, "notify.url"),
        ({"group": "root/others"}, "group"),
        ({"schedule": "hourly"}, "schedule"),
    ],
)
async def test_a_wrong_member_of_a_rule_is_named(scene, change, field):
    async with serving(scene, workers=0) as (_, client):
        status, problem, _ = await call(client, "POST", "/harvests", RULE | change)
        assert status == 400
        assert field in (problem.get("field"), problem["detail"].split(":")[0]) or field in problem["detail"]


async def test_rules_are_their_groups_and_approvals_the_administrators(scene, origin):
    publish(scene, origin)
    scene.settings = quick(approval_bytes=10)
    async with serving(scene) as (_, client):
        made = (await call(client, "POST", "/harvests", RULE))[1]
        path = f"/harvests/{made['id']}"
        assert (await call(client, "GET", path, X_Test_User="eve:root/others"))[0] == 404
        await once(client, path, lambda told: told["state"] == "WAITING_APPROVAL")
        assert (await call(client, "POST", f"{path}/approve"))[0] == 403
        status, told, _ = await call(client, "POST", f"{path}/approve", X_Test_User="root:root")
        assert (status, told["approved_by"]) == (200, "root")
        await once(client, path, lambda told: told["state"] == "OK")


async def test_an_order_that_waits_for_approval_begins_or_is_rejected(scene, origin):
    publish(scene, origin)
    scene.settings = quick(approval_bytes=10)
    async with serving(scene) as (live, client):
        first, second = [(await call(client, "POST", "/processes/harvest/execution", WISH))[1] for _ in range(2)]
        assert first["status"] == "accepted"
        admin = {"X_Test_User": "root:root"}
        assert (await call(client, "POST", f"/jobs/{first['jobID']}/approve", **admin))[0] == 200
        await live.settled(first["jobID"])
        rejected = await call(client, "POST", f"/jobs/{second['jobID']}/reject", {"reason": "twice"}, **admin)
        assert (rejected[1]["state"], rejected[1]["message"]) == ("CANCELLED", "rejected: twice")
        assert (await call(client, "POST", f"/jobs/{first['jobID']}/suspend"))[0] == 409


async def test_webhooks_are_signed_cloud_events_and_come_although_the_first_try_fails(
    scene, origin, listener, monkeypatch
):
    monkeypatch.setattr("harvest.outbox.pause_after", lambda _: 0.05)  # the pauses are proved apart
    publish(scene, origin)
    listener.failures = 1
    wish = {"inputs": WISH["inputs"] | {"notify": {"url": f"http://{listener.host}/hook", "events": ["completed"]}}}
    async with serving(scene, hosts=[listener.host]) as (_, client):
        _, job, _ = await call(client, "POST", "/processes/harvest/execution", wish)
        _, headers, body = await listener.named("hook")
        event = json.loads(body)
        assert (event["specversion"], event["type"], event["subject"]) == (
            "1.0", "org.lakegate.harvest.completed", job["jobID"],
        )  # fmt: skip
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = "v1," + b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        assert headers["webhook-signature"] == expected


async def test_callbacks_of_the_standard_come_by_either_name_to_allowed_hosts_only(scene, origin, listener):
    publish(scene, origin)
    at = f"http://{listener.host}"
    asked = WISH | {"subscriber": {"successUrl": f"{at}/ok", "inProgressUri": f"{at}/going"}}
    async with serving(scene, hosts=[listener.host]) as (_, client):
        await call(client, "POST", "/processes/harvest/execution", asked)
        assert json.loads((await listener.named("ok"))[2])["objects"][0]["state"] == "AVAILABLE"
        assert json.loads((await listener.named("going"))[2])["type"] == "process"
        evil = WISH | {"subscriber": {"successUri": "http://10.0.0.1/x"}}
        status, problem, _ = await call(client, "POST", "/processes/harvest/execution", evil)
        assert (status, problem["field"]) == (400, "subscriber.successUri")


async def test_an_event_that_nobody_takes_becomes_a_dead_letter_that_is_told(scene, origin, listener, monkeypatch):
    monkeypatch.setattr("harvest.outbox.pause_after", lambda _: 0.0)
    monkeypatch.setattr("harvest.outbox.MAX_ATTEMPTS", 2)
    publish(scene, origin)
    listener.failures = 1_000
    wish = {"inputs": WISH["inputs"] | {"notify": {"url": f"http://{listener.host}/hook"}}}
    async with serving(scene, hosts=[listener.host]) as (_, client):
        await call(client, "POST", "/processes/harvest/execution", wish)
        admin = {"X_Test_User": "root:root"}
        told = await once(client, "/harvests/deliveries?state=dead", lambda told: told["deliveries"], **admin)
        assert told["deliveries"][0]["reason"] == "HTTP 503"


async def test_jobs_are_filtered_and_paged_without_loss(scene, origin):
    publish(scene, origin)
    async with serving(scene, workers=0) as (_, client):
        made = [(await call(client, "POST", "/processes/harvest/execution", WISH))[1]["jobID"] for _ in range(3)]
        seen, path = [], "/jobs?limit=1&status=running"
        while path:
            _, page, _ = await call(client, "GET", path)
            seen += [job["jobID"] for job in page["jobs"]]
            following = [link["href"] for link in page["links"] if link["rel"] == "next"]
            path = following[0].removeprefix(BASE) if following else None
        assert sorted(seen) == sorted(made)
        for nothing in (
            "type=other",
            "processID=echo",
            "status=failed",
            "minDuration=9999",
            "datetime=2019-01-01T00:00:00Z",
        ):
            assert (await call(client, "GET", f"/jobs?{nothing}"))[1]["jobs"] == []
        assert (await call(client, "GET", "/jobs?status=rejected"))[0] == 400


async def test_temporary_copies_are_read_by_signed_links(scene, origin):
    publish(scene, origin)
    wish = {"inputs": WISH["inputs"] | {"temporary": True, "lifetime": "PT1H"}}
    async with serving(scene) as (live, client):
        job = (await call(client, "POST", "/processes/harvest/execution", wish))[1]["jobID"]
        await live.settled(job)
        link = (await call(client, "GET", f"/jobs/{job}/results"))[1]["objects"][0]["link"]
        async with aiohttp.ClientSession() as anybody, anybody.get(link) as answer:
            assert await answer.read() == BODY


async def test_an_audit_finds_what_is_lost_dark_and_untold_and_mends_it(scene, origin):
    publish(scene, origin)
    publish(scene, origin, "i2")
    async with serving(scene) as (live, client):
        for item_id in ("i1", "i2"):
            wish = {"inputs": WISH["inputs"] | {"ids": [item_id]}}
            await live.settled((await call(client, "POST", "/processes/harvest/execution", wish))[1]["jobID"])
        keys = sorted([found.key async for found in live.store.list_objects()])
        await live.store.delete(keys[0])
        await live.store.put("~dark/x/y/z", b"dark")
        await live.store.put("native/file", b"the edge's own")
        await live.store.put(keys[1], BODY[::-1])
        admin = {"X_Test_User": "root:root"}
        assert (await call(client, "POST", "/harvests/audits", {"target": EDGE}))[0] == 403
        asked = {"target": EDGE, "repair": True, "deep": True}
        audit = (await call(client, "POST", "/harvests/audits", asked, **admin))[1]
        told = await once(client, f"/harvests/audits/{audit['id']}", lambda told: told["state"] != "running", **admin)
        assert told["report"]["counts"] == {"lost": 1, "corrupt": 1, "dark": 1}

        async def mended():
            left = sorted([found.key async for found in live.store.list_objects()])
            return left == sorted([*keys, "native/file"]) and await live.read(keys[1]) == BODY

        async def charged():
            return (await live.taken())["storage_bytes"] == (2 * len(BODY), 0)

        await until(mended)
        await until(charged)


async def test_metrics_tell_states_bytes_and_lag_with_bounded_labels(scene, origin):
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only here

    publish(scene, origin)
    async with serving(scene) as (live, client):
        made = (await call(client, "POST", "/harvests", RULE | {"mode": "standing"}))[1]
        await once(client, f"/harvests/{made['id']}", lambda told: told["state"] == "OK")
        registry = CollectorRegistry()
        metrics = HarvestMetrics(registry, harvester=live.harvester)
        await metrics.read()
        told = generate_latest(registry).decode()
        assert f'lakegate_harvest_stored_bytes{{edge="{EDGE}"}} {len(BODY):.1f}' in told
        assert f'lakegate_harvest_lag_seconds{{rule="{made["id"]}"}}' in told
