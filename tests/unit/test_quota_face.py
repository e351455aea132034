"""The quota face, refusals as problems, and charging of requests."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.middleware import problems_middleware
from gateway.principal import PRINCIPAL, Principal
from gateway.quota import Charging, QuotaFace, problem_of_refusal, quota_problem
from gateway.quota.holders import holders_of
from quotas.errors import QuotaExceeded
from quotas.memory import MemoryLedger
from quotas.model import Charge, Explanation, Holders, Line, Policy, Refusal

ALICE = Principal(user="alice", groups=("eo/coast",), charging_group="eo/coast")
BOB = Principal(user="bob", groups=("eo/coast",), charging_group="eo/coast")
EVE = Principal(user="eve", groups=("met",), charging_group="met")
ROOT = Principal(user="root", groups=("ops",), charging_group="ops", admin=True)
NOBODY = Principal(user="anonymous", groups=("anonymous",), charging_group="anonymous", anonymous=True)
PEOPLE = {each.user: each for each in (ALICE, BOB, EVE, ROOT, NOBODY)}

CORES = Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=10, contact="ops@lake")
EACH = Policy(name="each", group="eo/coast", resource="cores", kind="concurrent", amount=4, applies="each-user")
TWO_CORES = Line(resource="cores", amount=2, edge="edge-a")


def explanation(**changes):
    given = {
        "policy": "burst",
        "group": "eo/~alice",
        "edge": "*",
        "resource": "requests",
        "kind": "rate",
        "limit": 100.0,
        "used": 99.5,
        "reserved": 0.0,
        "requested": 1.0,
        "available_at": 1_700_000_030.2,
    }
    return Explanation(**{**given, **changes})


def test_a_refusal_that_waiting_helps_is_429_with_the_time():
    problem = problem_of_refusal(Refusal(violated=(explanation(contact="ops@lake"),), retry_after=29.2))
    assert problem.status == problem.body["status"] == 429
    assert problem.headers == {
        "Retry-After": "30",
        "RateLimit-Policy": '"burst";q=100',
        "RateLimit": '"burst";r=0;t=30',
    }
    assert problem.body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    (violated,) = problem.body["violated-policies"]
    assert violated["available_at"] == "2023-11-14T22:13:51+00:00"
    assert (violated["unit"], violated["limit"], violated["never_fits"]) == ("requests", 100, False)
    assert "it fits again in 30 s at the latest; ask ops@lake for more" in problem.body["detail"]


def test_a_request_above_a_whole_limit_is_422_without_a_time():
    refused = Refusal(violated=(explanation(requested=101.0, available_at=None),), retry_after=None)
    problem = problem_of_refusal(refused)
    assert problem.status == 422
    assert "Retry-After" not in problem.headers
    assert "waiting does not help" in problem.body["detail"]
    assert QuotaExceeded(refused).status == 422


def test_full_storage_is_429_without_a_time():
    full = explanation(resource="storage_bytes", kind="stock", available_at=None)
    problem = problem_of_refusal(Refusal(violated=(full,)))
    assert (problem.status, problem.headers) == (429, {})
    assert "when something is given back" in problem.body["detail"]


def test_names_and_large_numbers_keep_headers_well_formed():
    odd = explanation(policy='Ö"\\', resource="egress_bytes", limit=1e18, used=0.0)
    headers = problem_of_refusal(Refusal(violated=(odd,), retry_after=0.0)).headers
    assert headers["RateLimit-Policy"] == '"?\\"\\\\";q=999999999999999;qu="content-bytes"'
    assert headers["Retry-After"] == "1"


def test_a_raised_refusal_becomes_a_response():
    response = quota_problem(QuotaExceeded(Refusal(violated=(explanation(),), retry_after=5.0)))
    assert (response.status, response.content_type) == (429, "application/problem+json")
    assert response.headers["Retry-After"] == "5"


@asynccontextmanager
async def faced(ledger):
    @web.middleware
    async def identify(request, handler):
        request[PRINCIPAL] = PEOPLE[request.headers.get("X-Test-User", "anonymous")]
        return await handler(request)

    app = web.Application(middlewares=[problems_middleware, identify])
    app.add_routes(QuotaFace(ledger=ledger, public_url="https://lake.example/").routes())
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("")) as session:

        async def ask(user, path, method="GET", **options):
            headers = {"X-Test-User": user}
            async with session.request(method, path, headers=headers, **options) as response:
                return response.status, await response.json()

        yield ask


def standing(answer):
    return {
        (each["policy"], each["holder"]): (each["used"], each["reserved"], each["available"])
        for each in answer["quotas"]
    }


async def test_one_sees_where_one_stands():
    ledger = MemoryLedger([CORES, EACH])
    await ledger.reserve("a", ALICE.charge, [TWO_CORES], ttl=60, why="test")
    await ledger.reserve("b", BOB.charge, [TWO_CORES], ttl=60, why="test")
    async with faced(ledger) as ask:
        status, mine = await ask("alice", "/quotas/me")
        assert (status, mine["charging_group"]) == (200, "eo/coast")
        assert standing(mine) == {("cores", "eo"): (0, 4, 6), ("each", "eo/coast/~alice"): (0, 2, 2)}
        assert (mine["quotas"][0]["unit"], mine["quotas"][0]["contact"]) == ("cores", "ops@lake")
        assert (await ask("anonymous", "/quotas/me"))[1]["quotas"] == []


async def test_members_see_their_groups_and_admins_all_of_all():
    ledger = MemoryLedger([CORES, EACH])
    await ledger.reserve("b", BOB.charge, [TWO_CORES], ttl=60, why="test")
    async with faced(ledger) as ask:
        assert set(standing((await ask("alice", "/quotas/eo/coast"))[1])) == {
            ("cores", "eo"),
            ("each", "eo/coast/~alice"),
        }
        assert set(standing((await ask("alice", "/quotas/eo"))[1])) == {("cores", "eo")}
        assert ("each", "eo/coast/~bob") in standing((await ask("root", "/quotas/eo/coast"))[1])
        status, body = await ask("eve", "/quotas/eo/coast")
        assert (status, body["title"]) == (403, "Not your group")
        assert (await ask("eve", "/quotas/eo/coast/history"))[0] == 403
        assert (await ask("anonymous", "/quotas/eo"))[0] == 401


async def test_a_check_tells_what_would_be_refused():
    async with faced(MemoryLedger([CORES, EACH])) as ask:
        lines = [{"resource": "cores", "amount": 4, "edge": "edge-a"}]
        assert await ask("alice", "/quotas/check", "POST", json={"lines": lines}) == (
            200,
            {"group": "eo/coast", "fits": True},
        )
        lines[0]["amount"] = 5
        status, body = await ask("alice", "/quotas/check", "POST", json={"lines": lines})
        assert (status, body["fits"], body["refusal"]["status"]) == (200, False, 422)
        assert [each["policy"] for each in body["refusal"]["violated-policies"]] == ["each"]


async def test_a_check_names_who_holds_what_stands_in_the_way_as_far_as_one_may_see():
    ledger = MemoryLedger([CORES])
    for key, charge, amount in (
        ("a", ALICE.charge, 2),
        ("b", BOB.charge, 3),
        ("c", Charge(group="eo/ice", user="olga"), 4),
    ):
        await ledger.reserve(key, charge, [Line(resource="cores", amount=amount, edge="edge-a")], ttl=60, why="test")
    lines = [{"resource": "cores", "amount": 5, "edge": "edge-b"}]
    async with faced(ledger) as ask:
        _, body = await ask("alice", "/quotas/check", "POST", json={"lines": lines})
    (told,) = body["refusal"]["violated-policies"]
    assert "; cores of 'cores' held now: bob 3, alice 2, others 4; ask " in body["refusal"]["detail"]
    assert told["holders"] == {
        "visible": [
            {"group": "eo/coast", "user": "bob", "amount": 3},
            {"group": "eo/coast", "user": "alice", "amount": 2},
        ],
        "others": 4,
    }
    (explained,) = (await ledger.check(ALICE.charge, [Line(resource="cores", amount=5, edge="edge-b")])).violated
    root = Principal(user="root", groups=(), charging_group="staff", admin=True)
    seen = holders_of(explained, await ledger.leases(), root)
    assert ([each.user for each in seen.visible], seen.others) == (["olga", "bob", "alice"], 0)
    nobody = Principal(user="anonymous", groups=(), charging_group="eo/coast", anonymous=True)
    assert holders_of(explained, await ledger.leases(), nobody) == Holders(others=9)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lines": []},
        {"lines": [{"resource": "gold", "amount": 1}]},
        {"lines": [{"resource": "cores", "amount": -1}]},
    ],
)
async def test_a_check_of_nonsense_says_what_is_wrong(body):
    async with faced(MemoryLedger([])) as ask:
        status, answer = await ask("alice", "/quotas/check", "POST", json=body)
        assert (status, answer["field"]) == (400, "body")


async def test_the_history_is_paged_by_links():
    ledger = MemoryLedger([CORES])
    for n in range(5):
        await ledger.reserve(f"{n}", ALICE.charge, [TWO_CORES], ttl=60, why="test")
    async with faced(ledger) as ask:
        path, seen = "/quotas/eo/coast/history?limit=2", []
        while path is not None:
            status, body = await ask("alice", path)
            assert status == 200
            seen += [entry["key"] for entry in body["entries"]]
            hrefs = [link["href"] for link in body["links"]]
            path = hrefs[0].removeprefix("https://lake.example") if hrefs else None
        assert seen == ["0", "1", "2", "3", "4"]
        for wrong in ("limit=0", "limit=x", "after=-1", "after=99999999999999999999"):
            assert (await ask("alice", f"/quotas/eo/coast/history?{wrong}"))[0] == 400


class Clock:
    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


class CountingLedger(MemoryLedger):
    """Counts the writes."""

    writes = 0

    async def reserve(self, *args, **options):
        self.writes += 1
        return await super().reserve(*args, **options)


def requests(amount=100.0, **rest):
    given = {"name": "requests", "group": "eo", "resource": "requests", "kind": "window", "window_seconds": 3600}
    return Policy(**{**given, "amount": amount, **rest})


async def taken(ledger):
    (usage,) = await ledger.usage(["eo"], "alice")
    return usage.used, usage.reserved


async def test_where_no_policy_binds_charging_touches_nothing():
    ledger = CountingLedger([CORES])
    async with Charging(ledger).running():
        pass
    charging = Charging(ledger)
    async with charging.request(ALICE) as spending:
        spending.actual("items", 3)
    await charging.request(ALICE)
    assert ledger.writes == 0


async def test_a_request_is_charged_without_a_write_of_its_own_and_settled_exactly():
    clock = Clock()
    ledger = CountingLedger([requests(1000)], clock=clock)
    charging = Charging(ledger, clock=clock)
    async with charging.running():
        for _ in range(200):
            await charging.request(ALICE)
        assert ledger.writes < 15
    assert await taken(ledger) == (200, 0)
    assert await ledger.leases() == []


async def test_exactly_the_limit_is_granted_and_then_no_more():
    clock = Clock()
    ledger = MemoryLedger([requests(100)], clock=clock)
    charging = Charging(ledger, clock=clock)
    granted = 0

    async def one(who):
        nonlocal granted
        await charging.request(who)
        granted += 1

    async with charging.running():
        outcomes = await asyncio.gather(*(one(who) for who in (ALICE, BOB) * 75), return_exceptions=True)
        assert {type(each) for each in outcomes} == {type(None), QuotaExceeded}
        assert 97 <= granted <= 100
    assert await taken(ledger) == (granted, 0)


async def test_what_a_request_did_not_use_is_put_back():
    clock = Clock()
    ledger = MemoryLedger([requests(1000, resource="items")], clock=clock)
    charging = Charging(ledger, clock=clock)
    async with charging.running():
        async with charging.request(ALICE, [Line(resource="items", amount=250)]) as spending:
            spending.actual("items", 37)
        with pytest.raises(RuntimeError):
            async with charging.request(ALICE, [Line(resource="items", amount=10)]):
                raise RuntimeError
    assert await taken(ledger) == (47, 0)


async def test_all_lines_of_a_request_are_taken_or_none():
    clock = Clock()
    ledger = MemoryLedger([requests(1000), requests(5, name="few", resource="items")], clock=clock)
    charging = Charging(ledger, clock=clock)
    async with charging.running():
        with pytest.raises(QuotaExceeded) as caught:
            await charging.request(ALICE, [Line(resource="requests", amount=1), Line(resource="items", amount=6)])
        assert [each.policy for each in caught.value.refusal.violated] == ["few"]
    usages = {usage.policy.name: (usage.used, usage.reserved) for usage in await ledger.usage(["eo"])}
    assert usages == {"requests": (0, 0), "few": (0, 0)}


async def test_a_rate_paces_requests():
    clock = Clock()
    ledger = MemoryLedger([requests(10, kind="rate", window_seconds=10)], clock=clock)
    charging = Charging(ledger, clock=clock)
    async with charging.running():
        for _ in range(10):
            await charging.request(ALICE)
        with pytest.raises(QuotaExceeded) as caught:
            await charging.request(ALICE)
        assert caught.value.refusal.retry_after == pytest.approx(1, abs=0.3)
        clock.now += 1.3
        await charging.request(ALICE)


async def test_what_is_ahead_goes_back_when_its_time_is_over():
    clock = Clock()
    ledger = MemoryLedger([requests(1000)], clock=clock)
    charging = Charging(ledger, clock=clock)
    await charging.request(ALICE)
    assert (await taken(ledger))[1] == 20
    clock.now += 60
    await charging.settle()
    assert await taken(ledger) == (1, 0)


async def test_shadow_policies_never_stop_a_request():
    clock = Clock()
    ledger = MemoryLedger([requests(3, mode="shadow")], clock=clock)
    charging = Charging(ledger, clock=clock)
    async with charging.running():
        for _ in range(10):
            await charging.request(ALICE)
    assert await taken(ledger) == (10, 0)


def test_a_charge_needs_a_user_and_a_group():
    with pytest.raises(ValueError, match="group path"):
        Charge(group="a//b", user="alice")
