"""How the face behaves: errors with tickets, rates told and bursts absorbed, roles, what is hostile."""

import asyncio
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec
import pytest
from free_ports import free_port
from hda_lake import OLCI, Client, gateway_over, hub, item, site_of
from hda_ordering import ORDER, ordering_site
from order_provider import ERA5, order_provider

from edges.settings import AccessRule
from gateway.settings import QuotaSettings
from quotas.model import Policy

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

ITEMS = [item(f"M{day:02}", OLCI, day=day) for day in range(1, 6)]


async def test_a_ticket_is_the_id_of_the_request(lake: Client) -> None:
    async with lake.session.get(
        f"{lake.url}/stac/v2/collections/NONE", headers={"X-Request-Id": "ask-the-operator"}
    ) as response:
        error = await response.json(content_type=None)
        assert response.headers["X-Request-Id"] == error["ticket"] == "ask-the-operator"
        assert response.content_type == "application/json"


@pytest.mark.parametrize("token", ["nonsense", "", "abc.west", "." * 500, "a" * 10_000])
async def test_a_token_that_is_none_is_refused(lake: Client, token: str) -> None:
    status, error = await lake.post({"token": token, "limit": 1})
    assert (status, error["code"]) == (400, "400")


async def test_an_invalid_token_of_a_user_is_told_in_their_words(lake: Client) -> None:
    status, error = await lake.post({}, headers={"Authorization": "Bearer wrong"})
    assert (status, error["code"]) == (401, 401)
    assert error["ticket"]


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"limit": 0}', b'{"query": 3}', b'{"query": {"a": {"eq": [{}]}}}', b'{"collections": [1]}']
)
async def test_a_body_that_is_none_is_refused_by_name(lake: Client, body: bytes) -> None:
    async with lake.session.post(f"{lake.url}/stac/v2/search", data=body) as response:
        error = await response.json(content_type=None)
        assert (response.status, error["code"]) == (400, "400")
        assert error["errors"][0]["error"] == "ValidationError"


async def test_a_site_that_is_down_is_told_beside_what_the_others_gave(tmp_path: Path) -> None:
    async with site_of(ITEMS, tmp_path / "west.db") as west:
        sites = [hub("west", west), hub("gone", f"http://127.0.0.1:{free_port()}")]
        async with gateway_over(sites, tmp_path / "state") as client:
            status, page = await client.post({"limit": 2})
            assert (status, len(page["features"])) == (200, 2)
            assert page["federation:missing"] == ["gone"]
            status, error = await client.post({"query": {"federation:backends": {"eq": "gone"}}})
            assert (status, error["code"]) == (502, "502")
            assert error["errors"][0]["provider"] == "gone"


@pytest.mark.parametrize("on_exceed", ["queue", "reject"])
async def test_bursts_wait_in_place_of_being_refused_and_rates_are_told(
    tmp_path: Path, on_exceed: Literal["queue", "reject"]
) -> None:
    pace = Policy(
        name="pace", group="*", resource="requests", kind="rate", amount=4, window_seconds=1,
        applies="each-user", on_exceed=on_exceed,
    )  # fmt: skip
    async with (
        site_of(ITEMS, tmp_path / "west.db") as west,
        gateway_over([hub("west", west)], tmp_path / "state", quotas=QuotaSettings(policies=(pace,))) as client,
    ):

        async def one() -> tuple[int, Any]:
            async with client.session.post(f"{client.url}/stac/v2/search", json={"limit": 1}) as response:
                return response.status, response.headers

        answers = await asyncio.gather(*(one() for _ in range(12)))
        assert [status for status, _ in answers] == [200] * 12
        headers = answers[-1][1]
        assert headers["x-ratelimit-limit"] == "4, 4;w=1"
        assert {"x-ratelimit-remaining", "x-ratelimit-reset"} <= {name.lower() for name in headers}
        others = [client.session.post(f"{client.url}/search", json={"limit": 1}) for _ in range(12)]
        refused = [response.status for response in await asyncio.gather(*others) if response.status == 429]
        assert bool(refused) == (on_exceed == "reject"), "other faces do as the policy says"


async def test_what_asks_for_a_role_is_neither_told_nor_ordered_without_it(tmp_path: Path) -> None:
    async with order_provider(free_port()) as provider:
        rule = AccessRule(collections=("EO.ECMWF.DAT.*",), role="DPAD_Direct_Access", without="nothing")
        site = msgspec.structs.replace(ordering_site(provider, tmp_path), access=(rule,))
        async with gateway_over([site], tmp_path / "state") as client, aiohttp.ClientSession() as nobody:
            assert (await client.get("/stac/v2/collections"))[1]["collections"] == []
            assert (await client.get(f"/stac/v2/collections/{ERA5}/queryables"))[0] == 404
            assert (await client.post({"variable": ["t2m"]}, ORDER))[0] == 404
            async with nobody.get(f"{client.url}/stac/v2/collections/{ERA5}") as response:
                assert response.status == 404
        rule = msgspec.structs.replace(rule, without="metadata")
        site = msgspec.structs.replace(site, access=(rule,))
        async with gateway_over([site], tmp_path / "other") as client:
            assert (await client.get(f"/stac/v2/collections/{ERA5}"))[0] == 200
            status, error = await client.post({"variable": ["t2m"]}, ORDER)
            assert (status, "DPAD_Direct_Access" in error["description"]) == (403, True)
        assert provider.placed == []


async def test_orders_count_once_and_are_refused_when_there_are_too_many(tmp_path: Path) -> None:
    few = Policy(name="few", group="*", resource="data_orders", kind="window", amount=2, window_seconds=86_400)
    async with order_provider(free_port()) as provider:
        quotas = QuotaSettings(policies=(few,))
        async with gateway_over([ordering_site(provider, tmp_path)], tmp_path / "state", quotas=quotas) as client:
            statuses = [(await client.post({"variable": [name]}, ORDER))[0] for name in ("a", "a", "a", "b", "c")]
            assert statuses == [200, 200, 200, 200, 429]
        assert len(provider.placed) == 2
