"""Two gateways on one database serve HOOK's orders together: whichever is asked, whichever did the work."""

import asyncio
import contextlib
import dataclasses
import io
import uuid
import zipfile

import asyncpg
import pytest
from hook_outside import FILES, SCENE
from hook_scene import external, free_port, listed, own_bucket

pytestmark = pytest.mark.service


@pytest.fixture
async def pair(world, postgresql):
    """The same world twice: one database and signing key, a port and state folder each."""
    name = f"hook_{uuid.uuid4().hex[:8]}"
    raw = await asyncpg.connect(postgresql)
    await raw.execute(f"CREATE DATABASE {name}")
    await raw.close()
    first = dataclasses.replace(world, database=postgresql.replace("/postgres?", f"/{name}?"), state="state-1")
    return first, dataclasses.replace(first, port=free_port(), state="state-2")


async def test_an_order_of_one_gateway_is_told_carried_and_given_out_by_the_other(pair, outside):
    one, two = pair
    async with one.gateway() as first, two.gateway() as second:
        orders = [first.order(), second.order(), first.order(source=external(outside), output=own_bucket(one))]
        numbers = await asyncio.gather(*orders)
        assert len(set(numbers)) == 3
        for told_by in (first, second):
            listing = (await told_by.get("BatchOrder?$orderby=Id asc")).json()["value"]
            assert [each["Id"] for each in listing] == sorted(numbers)
        for number, other in zip(numbers, (second, first, second), strict=True):
            ended = await other.ended(number, seconds=60)
            assert ended["Status"] == "completed", ended
        product = (await second.products(numbers[0]))[0]
        answer = await second.get(f"BatchOrder({numbers[0]})/Product({product['Id']})/$value")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == {
                f"{SCENE}/{name}": body for name, body in FILES.items()
            }
    there = await asyncio.to_thread(listed, one.s3, f"{one.bucket}-own", f"mine/2023/{SCENE}/")
    assert sorted(there.values()) == sorted(map(len, FILES.values()))


async def test_what_one_gateway_leaves_undone_the_other_ends(pair, outside):
    one, two = pair
    outside.gate = asyncio.Event()
    async with contextlib.AsyncExitStack() as leaving, two.gateway() as second:
        first = await leaving.enter_async_context(one.gateway())
        private = await first.order(source=external(outside), output=own_bucket(one))
        temporary = await first.order()
        for number in (private, temporary):
            await second.until(number, lambda told: told["Status"] == "in_progress")
        await leaving.aclose()
        outside.gate.set()
        for number in (private, temporary):
            ended = await second.ended(number, seconds=60)
            assert ended["Status"] == "completed", ended
    there = await asyncio.to_thread(listed, one.s3, f"{one.bucket}-own", f"mine/2023/{SCENE}/")
    assert sorted(there.values()) == sorted(map(len, FILES.values()))
