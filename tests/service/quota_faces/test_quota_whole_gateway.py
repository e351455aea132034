"""Quotas as clients of a whole gateway meet them, over real sockets."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from free_ports import free_port

from edges.settings import Secret
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, QuotaSettings, ServerSettings, Settings
from quotas.model import Policy

pytestmark = pytest.mark.service

ALICE, ROOT = "token-of-alice", "token-of-root"
DAY = Policy(
    name="day", group="eo", resource="requests", kind="window", amount=5, window_seconds=86_400, contact="ops@lake"
)


class House:
    def __init__(self, url, session):
        self.url, self.session = url, session

    async def ask(self, path, token=ALICE, method="GET", **options):
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            text = await response.text()
            kind = response.content_type
            return response.status, await response.json(content_type=None) if "json" in kind else text, response.headers


@pytest.fixture
def house(tmp_path: Path):
    @asynccontextmanager
    async def running(*policies):
        tokens = []
        for user, secret, groups in (("alice", ALICE, ("eo/coast",)), ("root", ROOT, ("ops",))):
            (tmp_path / user).write_text(secret)
            token = Secret(file=str(tmp_path / user))
            tokens.append(ApiTokenSettings(user=user, token=token, groups=groups, admin=user == "root"))
        settings = Settings(
            server=ServerSettings(port=free_port(), state=str(tmp_path / "state"), shutdown_seconds=1.0),
            auth=AuthSettings(tokens=tuple(tokens)),
            quotas=QuotaSettings(policies=policies),
        )
        async with running_gateway(settings) as url, aiohttp.ClientSession() as session:
            yield House(url, session)

    return running


async def test_a_limit_is_told_on_the_way_to_it_and_explained_when_it_is_reached(house):
    async with house(DAY) as gateway:
        for left in (4, 3, 2, 1, 0):
            status, _, headers = await gateway.ask("/search")
            assert (status, headers["RateLimit-Policy"]) == (200, '"day";q=5;w=86400')
            assert headers["RateLimit"] == f'"day";r={left}'
        status, body, headers = await gateway.ask("/search")
        assert (status, body["title"]) == (429, "Quota exceeded")
        assert 0 < int(headers["Retry-After"]) <= 86_400 + 1_500
        (violated,) = body["violated-policies"]
        assert (violated["policy"], violated["group"], violated["limit"], violated["requested"]) == ("day", "eo", 5, 1)
        assert violated["used"] + violated["reserved"] == 5
        assert "ask ops@lake for more" in body["detail"]
        assert (await gateway.ask("/search", ROOT))[0] == 200


async def test_an_administrator_raises_a_limit_at_once_and_everything_is_told(house):
    async with house(DAY) as gateway:
        for _ in range(5):
            await gateway.ask("/search")
        assert (await gateway.ask("/search"))[0] == 429
        grant = {"policy": "day", "holder": "eo", "amount": 2, "expires_in": 60, "why": "a flood"}
        assert (await gateway.ask("/quotas/grants", ROOT, "POST", json=grant))[0] == 201
        assert [(await gateway.ask("/search"))[0] for _ in range(3)] == [200, 200, 429]
        policy = {"group": "eo", "resource": "requests", "kind": "window", "amount": 9, "window_seconds": 86_400}
        changed = {**policy, "why": "a course"}
        assert (await gateway.ask("/quotas/policies/day", ALICE, "PUT", json=changed))[0] == 403
        assert (await gateway.ask("/quotas/policies/day", ROOT, "PUT", json=changed))[0] == 200
        assert (await gateway.ask("/search"))[0] == 200
        _, told, _ = await gateway.ask("/quotas/eo/history?event=policy,grant", ROOT)
        assert [entry["why"] for entry in told["entries"]] == ["a flood", "a course"]


async def test_what_was_refused_stands_in_the_metrics(house):
    async with house(DAY) as gateway:
        for _ in range(6):
            await gateway.ask("/search")
        _, text, _ = await gateway.ask("/metrics")
        assert 'lakegate_quota_refusals_total{policy="day",reason="reject"}' in text

        async def level():
            return 'lakegate_quota_limit{edge="*",policy="day"} 5.0' in (await gateway.ask("/metrics"))[1]

        async with asyncio.timeout(20):
            while not await level():  # noqa: ASYNC110 - what is waited for is behind a socket
                await asyncio.sleep(0.05)


async def test_a_short_burst_waits_where_the_policy_says_queue(house):
    pace = Policy(
        name="pace", group="eo", resource="requests", kind="rate", amount=10, window_seconds=1, on_exceed="queue"
    )
    async with house(pace) as gateway:
        answers = await asyncio.gather(*(gateway.ask("/search") for _ in range(20)))
        assert [status for status, _, _ in answers] == [200] * 20


async def test_a_placement_that_searches_is_charged(house):
    async with house(DAY) as gateway:
        for _ in range(5):
            assert (await gateway.ask("/placement", ALICE, "POST", json={"collections": ["c"]}))[0] == 200
        assert (await gateway.ask("/placement", ALICE, "POST", json={"collections": ["c"]}))[0] == 429
