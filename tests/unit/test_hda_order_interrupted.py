"""A gateway that is stopped while it asks for an order: what the next one makes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from edges.errors import SiteUnavailable
from edges.model import Json
from edges.ordering.model import OrderReport, OrderUnknown
from edges.settings import OrderSettings
from gateway.orders.model import Order, Staging
from gateway.orders.orders import Orders, Provider, Wanted
from gateway.principal import Principal
from gateway.records_sqlite import SqliteRecordTable

ADA = Principal(user="ada", groups=("eo",), charging_group="eo")
WANTED = Wanted(site="cds", collection="era5", parameters={"variable": ["t2m"]})


class Memory:
    """A provider in memory: takes orders, and can be slow to say so."""

    def __init__(self, *, repeats: bool) -> None:
        self.repeats = repeats
        self.placed: list[str] = []
        self.taken = asyncio.Event()
        self.silent = True
        self.error: Exception | None = None

    async def place(self, collection: str, parameters: Json, *, key: str = "") -> OrderReport:
        self.placed.append(key)
        self.taken.set()
        if self.error is not None:
            raise self.error
        if self.silent:
            await asyncio.Event().wait()
        return OrderReport(status="ordered", handle={"id": key})

    async def look(self, handle: Json) -> OrderReport:
        return OrderReport(status="ordered", handle=handle)

    async def cancel(self, handle: Json) -> bool:
        return False


@asynccontextmanager
async def orders_of(folder: Path, provider: Memory, *, now: float = 1_000.0) -> AsyncIterator[Orders]:
    async with (
        SqliteRecordTable(folder / "orders.db", Order) as orders,
        SqliteRecordTable(folder / "stagings.db", Staging) as stagings,
    ):
        yield Orders(
            orders=orders,
            stagings=stagings,
            providers={"cds": Provider(ordering=provider, settings=OrderSettings())},
            holder=f"gateway at {now}",
            clock=lambda: now,
        )


@pytest.mark.parametrize("repeats", [True, False])
async def test_an_order_that_was_interrupted_is_given_again_only_where_it_stays_one(
    tmp_path: Path, repeats: bool
) -> None:
    provider = Memory(repeats=repeats)
    async with orders_of(tmp_path, provider) as orders:
        placing = asyncio.create_task(orders.place(ADA, WANTED))
        await provider.taken.wait()
        placing.cancel()  # as where the process is killed: nothing is noted after it was asked
        with suppress(asyncio.CancelledError):
            await placing
    provider.silent = False
    async with orders_of(tmp_path, provider, now=5_000.0) as orders:
        (staging_id,) = orders.due()
        moved = await orders.ask(staging_id)
        assert moved is not None
        before, after = moved
        assert before.status == "ordered"
        (order, told), *_ = orders.of(ADA)
        assert told == after
        assert order.staging == staging_id
        if repeats:
            assert (after.status, len(provider.placed), len(set(provider.placed))) == ("ordered", 2, 1)
        else:
            assert (after.status, len(provider.placed)) == ("failed", 1)
            assert "may have taken the order" in after.reason
            assert orders.due() == []


async def test_an_order_that_is_known_not_to_have_been_taken_is_given_later(tmp_path: Path) -> None:
    provider = Memory(repeats=False)
    provider.error = SiteUnavailable("cds", "connection refused")
    async with orders_of(tmp_path, provider) as orders:
        _, staging, _ = await orders.place(ADA, WANTED)
        assert staging.status == "ordered"
    provider.error, provider.silent = None, False
    async with orders_of(tmp_path, provider, now=5_000.0) as orders:
        moved = await orders.ask(staging.id)
        assert moved is not None
        assert (moved[1].status, moved[1].handle is not None, len(provider.placed)) == ("ordered", True, 2)


async def test_an_order_that_nobody_knows_of_ends_and_can_be_given_anew(tmp_path: Path) -> None:
    provider = Memory(repeats=False)
    provider.error = OrderUnknown("cds", "the connection broke")
    async with orders_of(tmp_path, provider) as orders:
        _, staging, _ = await orders.place(ADA, WANTED)
        assert staging.status == "failed"
        assert staging.reason.startswith("the connection broke; the provider may have taken the order")
        provider.error, provider.silent = None, False
        _, again, _ = await orders.place(ADA, WANTED)
        assert again.status == "ordered"
        assert again.id != staging.id
