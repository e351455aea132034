"""Gateways that federate each other, and themselves: they answer, each item once, and nobody asks for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from federated_lake import Client, gateway_over, hub, item, site_of
from free_ports import free_port
from waiting import until

from edges.hops import HOPS
from edges.settings import SiteSettings
from gateway.settings import LimitSettings

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

NORTH = [item(f"n{number}", "north", day=number) for number in range(1, 8)]
SOUTH = [item(f"s{number}", "south", day=number) for number in range(1, 8)]
BOTH = [item(f"b{number}", "both", day=number) for number in range(1, 5)]
LIMITS = LimitSettings(deadline_seconds=8.0, probe_seconds=1.0)


@asynccontextmanager
async def circle(folder: Path) -> AsyncIterator[tuple[Client, Client]]:
    """Run two gateways with a site each, that also federate each other; once they know each other's collections."""
    one, other = free_port(), free_port()
    async with (
        site_of(NORTH + BOTH, folder / "n.db") as north,
        site_of(SOUTH + BOTH, folder / "s.db") as south,
        gateway_over(
            [hub("north", north), _neighbour(other)], folder / "one", limits=LIMITS, port=one, unknown=["neighbour"]
        ) as first,
        gateway_over(
            [hub("south", south), _neighbour(one)], folder / "other", limits=LIMITS, port=other, unknown=["neighbour"]
        ) as second,
    ):
        for client in (first, second):
            await _knows(client, {"north", "south", "both"}, up="neighbour")
        yield first, second


def _neighbour(port: int) -> SiteSettings:
    return hub("neighbour", f"http://127.0.0.1:{port}")


async def _knows(client: Client, names: set[str], *, up: str) -> None:
    async def known() -> bool:
        _, told = await client.get("/collections")
        _, site = await client.get(f"/sites/{up}")
        return site["health"]["status"] == "up" and {each["id"] for each in told["collections"]} == names

    await until(known)


async def test_gateways_in_a_circle_give_everything_once(tmp_path: Path) -> None:
    expected = sorted((each["collection"], each["id"]) for each in NORTH + SOUTH + BOTH)
    async with circle(tmp_path) as clients:
        for _ in range(3):
            walks = [client.walk(limit=5) for client in (*clients, *clients)]
            for found in await asyncio.gather(*walks):  # also where both are on their way at the same time
                assert sorted(found) == expected
        for client in clients:
            status, told = await client.get("/collections/south/items/s3")
            assert (status, told["id"]) == (200, "s3")
            status, _ = await client.get("/collections/south/items/nowhere")
            assert status == 404
            status, page = await client.post({"limit": 50, "strict": True})
            assert (status, page["federation:missing"]) == (200, [])
            neighbour = page["federation"]["neighbour"]
            assert neighbour["requests"] - neighbour["probes"] == 1  # until copies are known to meet


async def test_a_gateway_that_federates_itself_answers(tmp_path: Path) -> None:
    port = free_port()
    async with (
        site_of(NORTH, tmp_path / "n.db") as north,
        gateway_over(
            [hub("north", north), hub("self", f"http://127.0.0.1:{port}")],
            tmp_path / "g", limits=LIMITS, port=port, unknown=["self"],
        ) as client,
    ):  # fmt: skip
        await _knows(client, {"north"}, up="self")
        assert sorted(await client.walk(limit=3)) == sorted((each["collection"], each["id"]) for each in NORTH)
        status, told = await client.get("/aggregate", aggregations="total_count")
        assert (status, told["aggregations"][0]["value"]) == (200, len(NORTH))


async def test_who_has_come_a_long_way_is_not_sent_further(tmp_path: Path) -> None:
    way = ", ".join(f"{number:016x}" for number in range(20))
    async with (
        site_of(NORTH, tmp_path / "n.db") as north,
        gateway_over([hub("north", north)], tmp_path / "g") as client,
    ):
        status, page = await client.post({"limit": 5}, headers={HOPS: way})
        assert (status, page["features"], page["federation"]) == (200, [], {})
        status, page = await client.post({"limit": 5}, headers={HOPS: way[:16]})
        assert (status, len(page["features"])) == (200, 5)
