"""What is told of a search that wants to be explained, beside the requests over HTTP."""

import asyncio

import pytest

from edges.catalogues.eodag_hub_provider import Answer, Ask
from edges.catalogues.eodag_hub_trace import traced
from edges.catalogues.guarded import GuardedCatalogue
from edges.catalogues.memory import MemoryCatalogue
from edges.errors import SiteUnavailable
from edges.model import Batch, Query
from edges.tracing import HIDDEN, Trace, tracing


class Slow(MemoryCatalogue):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.asked = 0

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        self.asked += 1
        await self.go.wait()
        return await super().search(query, limit=limit, after=after)


async def explained(catalogue: GuardedCatalogue, limit: int) -> Trace:
    with tracing() as trace:
        await catalogue.search(Query(), limit=limit)
    return trace


async def test_an_answer_that_another_search_waits_for_is_told_as_shared() -> None:
    slow = Slow()
    catalogue = GuardedCatalogue(slow, site="one")
    searches = [asyncio.create_task(explained(catalogue, limit)) for limit in (5, 5, 6)]
    async with asyncio.timeout(5):
        while slow.asked < 2:  # noqa: ASYNC110  # a bounded poll: who is asked tells nobody
            await asyncio.sleep(0)
    slow.go.set()
    traces = await asyncio.gather(*searches)
    assert [trace.shared["one"] for trace in traces] == [0, 1, 0]
    assert slow.asked == 2


async def answering() -> Answer:
    return Answer(products=[])


async def failing() -> Answer:
    raise SiteUnavailable("one", "no answer", code="unreachable")


async def test_a_search_by_eodag_is_told_without_its_token() -> None:
    ask = Ask(collection="S2", limit=20, start="2024-04-01T00:00:00Z", descending=True, token="secret")
    with tracing() as trace:
        await traced("one", ask, answering())
        with pytest.raises(SiteUnavailable):
            await traced("one", ask, failing())
    first, second = trace.requests
    assert (first.site, first.method, first.path, first.outcome) == ("one", "EODAG", "/S2", "answered")
    assert first.parameters == {
        "limit": 20, "start": "2024-04-01T00:00:00Z", "sort_by": ["datetime", "desc"], "token": HIDDEN,
    }  # fmt: skip
    assert second.outcome == "unreachable"
    assert (await traced("one", ask, answering())).products == []  # nobody wants to know
