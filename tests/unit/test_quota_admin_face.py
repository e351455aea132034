"""Policies and grants over HTTP, who may see what, and usage over time."""

import time
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, generate_latest

from gateway.middleware import problems_middleware
from gateway.principal import PRINCIPAL, Principal
from gateway.quota.admin_face import QuotaAdminFace
from gateway.quota.face import QuotaFace
from gateway.quota.metrics import LevelMetrics, RefusalMetrics
from quotas.model import Line, Policy
from quotas.sqlite import SqliteLedger

ALICE = Principal(user="alice", groups=("eo/coast",), charging_group="eo/coast")
BOB = Principal(user="bob", groups=("eo/ice",), charging_group="eo/ice")
CAROL = Principal(user="carol", groups=("eo",), charging_group="eo")
EVE = Principal(user="eve", groups=("met",), charging_group="met")
ROOT = Principal(user="root", groups=("ops",), charging_group="ops", admin=True)
NOBODY = Principal(user="anonymous", groups=("anonymous",), charging_group="anonymous", anonymous=True)
PEOPLE = {each.user: each for each in (ALICE, BOB, CAROL, EVE, ROOT, NOBODY)}

CORES = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=10)
BYTES = Policy(name="bytes", group="eo", resource="harvest_bytes", kind="window", amount=100, window_seconds=3600)
NEW = {"group": "eo/coast", "resource": "kernels", "kind": "concurrent", "amount": 2, "why": "a course"}
RAISE = {"policy": "cores", "holder": "eo", "amount": 5, "expires_in": 3600, "why": "a flood"}


@pytest.fixture
def house(tmp_path):
    @asynccontextmanager
    async def running(*policies):
        registry = CollectorRegistry()
        refusals = RefusalMetrics(registry)
        async with SqliteLedger(tmp_path / "quotas.sqlite", policies, observer=refusals.observe) as ledger:

            @web.middleware
            async def identify(request, handler):
                request[PRINCIPAL] = PEOPLE[request.headers.get("X-Test-User", "anonymous")]
                return await handler(request)

            app = web.Application(middlewares=[problems_middleware, identify])
            app.add_routes(QuotaAdminFace(office=ledger).routes())
            app.add_routes(QuotaFace(ledger=ledger, public_url="https://lake.example/").routes())
            async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("")) as session:

                async def ask(user, path, method="GET", headers=None, **options):
                    headers = {"X-Test-User": user, **(headers or {})}
                    async with session.request(method, path, headers=headers, **options) as response:
                        body = await response.read()
                        return response.status, msgspec.json.decode(body) if _is_json(response) else body

                yield ask, ledger, registry

    return running


def _is_json(response):
    return response.content_type in ("application/json", "application/problem+json")


async def spend(ledger, who, key, amount, resource="harvest_bytes"):
    await ledger.reserve(key, who.charge, [Line(resource=resource, amount=amount, edge="edge-a")], ttl=60, why="test")
    await ledger.commit(key)


async def test_an_administrator_adds_changes_and_deletes_a_policy_while_the_gateway_runs(house):
    async with house(CORES) as (ask, _, _):
        status, told = await ask("root", "/quotas/policies/kernels", "PUT", json=NEW)
        assert (status, told["amount"], told["source"], told["by"]) == (200, 2, "administrator", "root")
        assert told["why"] == "a course"
        lines = [{"resource": "kernels", "amount": 3, "edge": "edge-a"}]
        assert (await ask("alice", "/quotas/check", "POST", json={"lines": lines}))[1]["fits"] is False
        assert (await ask("root", "/quotas/policies/kernels", "PUT", json={**NEW, "amount": 3}))[0] == 200
        assert (await ask("alice", "/quotas/check", "POST", json={"lines": lines}))[1]["fits"] is True
        assert (await ask("root", "/quotas/policies/kernels", "DELETE"))[0] == 400
        assert (await ask("root", "/quotas/policies/kernels?why=over", "DELETE"))[0] == 204
        assert (await ask("root", "/quotas/policies/kernels?why=over", "DELETE"))[0] == 404
        history = (await ask("root", "/quotas/*/history?event=policy"))[1]["entries"]
        assert [entry["why"] for entry in history] == ["a course", "a course", "over"]


async def test_nobody_else_changes_anything(house):
    async with house(CORES) as (ask, _, _):
        for user, expected in (("alice", 403), ("anonymous", 401)):
            assert (await ask(user, "/quotas/policies/kernels", "PUT", json=NEW))[0] == expected
            assert (await ask(user, "/quotas/policies/cores?why=x", "DELETE"))[0] == expected
            assert (await ask(user, "/quotas/grants", "POST", json=RAISE))[0] == expected
            assert (await ask(user, "/quotas/grants/g?why=x", "DELETE"))[0] == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"why": ""},
        {"resource": "gold"},
        {"kind": "window"},
        {"amount": -1},
        {"name": "other"},
        {"surprise": 1},
        {"group": "eo//x"},
    ],
)
async def test_a_wrong_policy_says_what_is_wrong(house, wrong):
    async with house() as (ask, _, _):
        status, body = await ask("root", "/quotas/policies/kernels", "PUT", json={**NEW, **wrong})
        assert status == 400
        assert body["field"] in ("why", "name", "body")


async def test_a_limit_is_raised_for_a_time_and_told_so(house):
    async with house(CORES) as (ask, _, _):
        key = {"Idempotency-Key": "once"}
        status, grant = await ask("root", "/quotas/grants", "POST", headers=key, json=RAISE)
        assert (status, grant["by"], grant["why"]) == (201, "root", "a flood")
        assert (await ask("root", "/quotas/grants", "POST", headers=key, json=RAISE))[0] == 200
        (mine,) = (await ask("alice", "/quotas/me"))[1]["quotas"]
        assert (mine["limit"], mine["granted"], mine["available"]) == (15, 5, 15)
        assert [each["id"] for each in (await ask("alice", "/quotas/grants"))[1]["grants"]] == [grant["id"]]
        assert (await ask("eve", "/quotas/grants"))[1]["grants"] == []
        assert (await ask("root", f"/quotas/grants/{grant['id']}?why=over", "DELETE"))[0] == 204
        assert (await ask("alice", "/quotas/me"))[1]["quotas"][0]["limit"] == 10


async def test_a_wrong_grant_says_what_is_wrong(house):
    async with house(CORES) as (ask, _, _):
        for wrong in ({"amount": 0}, {"expires_in": 0}, {"why": " "}, {"policy": 3}):
            assert (await ask("root", "/quotas/grants", "POST", json={**RAISE, **wrong}))[0] == 400
        assert (await ask("root", "/quotas/grants", "POST", json={**RAISE, "policy": "none"}))[0] == 404


async def test_one_sees_the_policies_that_bind_one(house):
    async with house(CORES) as (ask, _, _):
        assert [each["name"] for each in (await ask("alice", "/quotas/policies"))[1]["policies"]] == ["cores"]
        assert (await ask("alice", "/quotas/policies/cores"))[1]["source"] == "configuration"
        assert (await ask("eve", "/quotas/policies"))[1]["policies"] == []
        assert (await ask("eve", "/quotas/policies/cores"))[0] == 404
        assert (await ask("anonymous", "/quotas/policies"))[0] == 401


async def test_members_of_a_group_below_see_their_own_lines_only(house):
    async with house(BYTES) as (ask, ledger, _):
        await spend(ledger, ALICE, "a", 10)
        await spend(ledger, BOB, "b", 20)

        async def users(who, path):
            status, body = await ask(who, path)
            assert status == 200, body
            return {entry["user"] for entry in body["entries"]}

        assert await users("alice", "/quotas/eo/history") == {"alice"}
        assert await users("alice", "/quotas/eo/history?user=bob") == {"alice"}
        assert await users("carol", "/quotas/eo/history") == {"alice", "bob"}
        assert await users("carol", "/quotas/eo/coast/history") == {"alice"}
        assert await users("root", "/quotas/*/history") == {"alice", "bob"}
        assert (await ask("alice", "/quotas/eo/ice/history"))[0] == 403
        assert (await ask("anonymous", "/quotas/anonymous/history"))[0] == 401


async def test_the_history_is_filtered_and_exported(house):
    async with house(BYTES) as (ask, ledger, _):
        await spend(ledger, ALICE, "a", 10)
        await spend(ledger, BOB, "b", 20)
        status, body = await ask("carol", "/quotas/eo/history?event=commit&user=bob&limit=1")
        assert [entry["key"] for entry in body["entries"]] == ["b"]
        assert "event=commit" in body["links"][0]["href"]
        assert (await ask("carol", "/quotas/eo/history?until=2001-01-01T00:00:00Z"))[1]["entries"] == []
        status, text = await ask("carol", "/quotas/eo/history?format=ndjson")
        lines = [msgspec.json.decode(line) for line in text.splitlines()]
        assert (status, [line["event"] for line in lines]) == (200, ["reserve", "commit"] * 2)
        for wrong in ("event=theft", "resource=gold", "since=yesterday"):
            assert (await ask("carol", f"/quotas/eo/history?{wrong}"))[0] == 400


async def test_usage_over_time_is_told_by_user_and_edge(house):
    async with house(BYTES) as (ask, ledger, _):
        await spend(ledger, ALICE, "a", 10)
        await spend(ledger, BOB, "b", 20)
        query = f"resource=harvest_bytes&since={time.time() - 600:.0f}&until={time.time() + 600:.0f}&step=1200"
        status, body = await ask("carol", f"/quotas/eo/usage?{query}")
        assert (status, body["unit"], body["columns"]) == (200, "bytes", ["at", "used", "held", "peak"])
        used = {(each["user"], each["edge"]): sum(point[1] for point in each["points"]) for each in body["series"]}
        assert used == {("alice", "edge-a"): 10, ("bob", "edge-a"): 20}
        (whole,) = (await ask("carol", f"/quotas/eo/usage?{query}&by=edge"))[1]["series"]
        assert sum(point[1] for point in whole["points"]) == 30
        assert [each["user"] for each in (await ask("alice", f"/quotas/eo/usage?{query}"))[1]["series"]] == ["alice"]
        for wrong in ("resource=gold", "by=colour", "step=0", "since=9999999999"):
            assert (await ask("carol", f"/quotas/eo/usage?{wrong}"))[0] == 400


async def test_metrics_tell_how_full_policies_are_and_what_they_refused(house):
    shadow = Policy(name="shadow", group="eo", resource="cores", kind="concurrent", amount=1, mode="shadow")
    async with house(CORES, shadow) as (_, ledger, registry):
        levels = LevelMetrics(registry, ledger=ledger)
        await ledger.reserve("a", ALICE.charge, [Line(resource="cores", amount=4)], ttl=60, why="test")
        await ledger.reserve("b", ALICE.charge, [Line(resource="cores", amount=8)], ttl=60, why="test")
        await ledger.reserve("c", ALICE.charge, [Line(resource="cores", amount=11)], ttl=60, why="test")
        await levels.read()
        text = generate_latest(registry).decode()
        assert 'lakegate_quota_reserved{edge="*",policy="cores"} 4.0' in text
        assert 'lakegate_quota_limit{edge="*",policy="cores"} 10.0' in text
        assert 'lakegate_quota_fullest_ratio{edge="*",policy="cores"} 0.4' in text
        assert 'lakegate_quota_refusals_total{policy="cores",reason="reject"} 1.0' in text
        assert 'lakegate_quota_refusals_total{policy="cores",reason="never"} 1.0' in text
        assert 'lakegate_quota_shadow_refusals_total{policy="shadow"}' in text
