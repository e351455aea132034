"""A site's answer is read as far as it will surely be needed while slower sites are still waited for."""

import asyncio
from typing import Any

import msgspec
import pytest

from edges.audit import ranked_keys
from edges.model import Batch, Query
from edges.stac.item_pages import read_page
from edges.stac.matching import compile_parts
from edges.stac.order import compile_key, total_order
from gateway.search.plan import Call
from gateway.search.reading import OrderViolated, Reading
from gateway.search.stream import SiteStream

QUERY = Query(collections=("c",), limit=20)
ORDER = total_order(QUERY.sortby)


def item(day: int) -> dict[str, Any]:
    properties = {"datetime": f"2026-01-{day:02d}T00:00:00Z"}
    return {"type": "Feature", "id": f"i{day}", "collection": "c", "properties": properties}


class Told:
    """A site that gives one page of these days."""

    def __init__(self, days: list[int]) -> None:
        self._days = days

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        items, _ = read_page("s", json_of(self._days))
        return Batch(items=items)


def json_of(days: list[int]) -> bytes:
    return msgspec.json.encode({"type": "FeatureCollection", "features": [item(day) for day in days]})


def stream(days: list[int], share: int = 10) -> SiteStream:
    call = Call(site="s", segments=(QUERY,), share=share, sorted=True, ties=True, residual=False)
    reading = Reading(parts=compile_parts(QUERY), key=compile_key(ORDER), after=None, prefix=ranked_keys(ORDER))
    return SiteStream(call=call, catalogue=Told(days), reading=reading, max_page=100)  # type: ignore[arg-type]


def read(found: SiteStream) -> None:
    async def page() -> bool:
        return found.take(await found.ask())

    while asyncio.run(page()):
        pass


def test_half_a_share_is_read_before_anybody_asks_for_it_and_the_rest_when_it_is_asked_for() -> None:
    found = stream(list(range(20, 10, -1)))
    read(found)
    assert found.reader.seen == 5
    days = []
    while (row := found.pull()) is not None:
        days.append(row.item["id"])
    assert [bytes(day) for day in days] == [b'"i%d"' % day for day in range(20, 10, -1)]
    assert found.reader.seen == 10


def test_a_page_shorter_than_that_is_read_whole() -> None:
    found = stream([3, 2, 1])
    read(found)
    assert found.reader.seen == 3
    assert found.exhausted


def test_a_wrong_order_is_told_as_soon_as_it_is_seen() -> None:
    with pytest.raises(OrderViolated):
        read(stream([3, 9, 1]))
