"""Several addresses of one catalogue, and identical requests that are made once."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Sequence

import pytest

from edges.catalogues.guarded import GuardedCatalogue
from edges.catalogues.memory import MemoryCatalogue
from edges.catalogues.mirrored import MirroredCatalogue
from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.hedging import LEAST, late_after
from edges.model import Batch, Json, Members, Query
from edges.observing import NobodyLooksOn
from edges.single_flight import SingleFlight


class Address(MemoryCatalogue):
    """A catalogue in memory that can be slow (until let go) or fail."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0
        self.cancelled = 0
        self.next: str | None = None
        self.positions: list[str | None] = []

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        self.asked += 1
        self.positions.append(after)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Batch(items=[], next=self.next, matched=len(self.name))


class Hedges(NobodyLooksOn):
    def __init__(self) -> None:
        self.won: list[bool] = []

    def hedged(self, site: str, *, won: bool) -> None:
        self.won.append(won)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def mirrored(
    *addresses: Address, hedges: Hedges | None = None, clock: Callable[[], float] | None = None
) -> MirroredCatalogue:
    first, *mirrors = addresses
    return MirroredCatalogue(
        site="s", first=first, mirrors=mirrors, observer=hedges or Hedges(), clock=clock or Clock()
    )


DOWN = SiteUnavailable("s", "down")


async def test_the_first_address_is_asked_as_long_as_it_answers() -> None:
    first, mirror = Address("first"), Address("mirror!")
    catalogue = mirrored(first, mirror)
    for _ in range(50):
        assert (await catalogue.search(Query(), limit=1)).matched == 5
    assert (first.asked, mirror.asked) == (50, 0)


async def test_a_mirror_answers_where_the_first_address_fails_and_the_first_is_then_left_alone() -> None:
    first, mirror, clock = Address("first"), Address("mirror!"), Clock()
    first.error = DOWN
    catalogue = mirrored(first, mirror, clock=clock)
    for _ in range(10):
        assert (await catalogue.search(Query(), limit=1)).matched == 7
    assert (first.asked, mirror.asked) == (3, 10)
    first.error, clock.now = None, 10.0
    assert (await catalogue.search(Query(), limit=1)).matched == 5


async def test_where_all_addresses_fail_the_first_failure_is_told() -> None:
    first, mirror = Address("first"), Address("mirror")
    first.error, mirror.error = DOWN, SiteUnavailable("s", "also down")
    for _ in range(10):
        with pytest.raises(SiteUnavailable, match="down"):
            await mirrored(first, mirror).search(Query(), limit=1)


async def test_a_wrong_answer_is_no_reason_to_ask_a_mirror() -> None:
    first, mirror = Address("first"), Address("mirror")
    first.error = SiteMisbehaved("s", "no JSON")
    with pytest.raises(SiteMisbehaved):
        await mirrored(first, mirror).search(Query(), limit=1)
    assert mirror.asked == 0


async def test_a_late_address_is_hedged_and_the_loser_is_cancelled() -> None:
    first, mirror, hedges = Address("first"), Address("mirror!"), Hedges()
    catalogue = mirrored(first, mirror, hedges=hedges)
    for _ in range(LEAST):
        await catalogue.search(Query(), limit=1)
    first.open.clear()
    async with asyncio.timeout(5):
        assert (await catalogue.search(Query(), limit=1)).matched == 7
    assert (first.cancelled, hedges.won) == (1, [True])


async def test_hedges_are_a_small_share_and_then_a_late_address_is_waited_for() -> None:
    first, mirror = Address("first"), Address("mirror!")
    catalogue = mirrored(first, mirror)
    for _ in range(LEAST):
        await catalogue.search(Query(), limit=1)
    first.open.clear()
    async with asyncio.timeout(5):
        for _ in range(5):
            await catalogue.search(Query(), limit=1)
    assert mirror.asked == 5
    task = asyncio.ensure_future(catalogue.search(Query(), limit=1))
    done, _ = await asyncio.wait({task}, timeout=0.1)
    assert (done, mirror.asked) == (set(), 5)
    first.open.set()
    assert (await task).matched == 5


async def test_a_walk_stays_with_the_address_that_began_it() -> None:
    first, mirror = Address("first"), Address("mirror!")
    first.error, mirror.next = DOWN, "page 2"
    catalogue = mirrored(first, mirror)
    page = await catalogue.search(Query(), limit=1)
    first.error = None
    assert (await catalogue.search(Query(), limit=1, after=page.next)).matched == 7
    assert mirror.positions == [None, "page 2"]


@pytest.mark.parametrize("position", ["9 x", "x", "", "-1 x", "\N{SUPERSCRIPT TWO} x"])
async def test_a_position_of_no_address_is_refused(position: str) -> None:
    with pytest.raises(SiteMisbehaved):
        await mirrored(Address("a"), Address("b")).search(Query(), limit=1, after=position)


async def test_who_gives_up_leaves_nothing_running() -> None:
    first, mirror = Address("first"), Address("mirror")
    first.open.clear()
    task = asyncio.create_task(mirrored(first, mirror).search(Query(), limit=1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert first.cancelled == 1


def test_nothing_is_late_before_enough_is_known_and_then_what_is_slower_than_nineteen_of_twenty() -> None:
    assert late_after([0.1] * (LEAST - 1)) is None
    assert late_after([n / 100 for n in range(1, 101)]) == 0.95
    assert late_after([0.0] * 100) == 0.02


async def test_identical_searches_under_way_reach_the_site_once_and_later_ones_again() -> None:
    inner = Address("inner")
    inner.open.clear()
    catalogue = GuardedCatalogue(inner)
    same = [asyncio.ensure_future(catalogue.search(Query(ids=("a",)), limit=5)) for _ in range(10)]
    other = asyncio.ensure_future(catalogue.search(Query(ids=("b",)), limit=5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inner.open.set()
    found = await asyncio.gather(*same, other)
    assert inner.asked == 2
    assert all(each is found[0] for each in found[:10])
    await catalogue.search(Query(ids=("a",)), limit=5)
    assert inner.asked == 3


async def test_one_that_gives_up_does_not_end_the_search_of_the_others_and_the_last_one_does() -> None:
    inner = Address("inner")
    inner.open.clear()
    catalogue = GuardedCatalogue(inner)
    first, second = (asyncio.ensure_future(catalogue.search(Query(), limit=5)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert inner.cancelled == 0
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.sleep(0)
    assert inner.cancelled == 1
    inner.open.set()
    assert (await catalogue.search(Query(), limit=5)).matched == 5


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    inner = Address("inner")
    inner.error = DOWN
    catalogue = GuardedCatalogue(inner)
    found = await asyncio.gather(*(catalogue.search(Query(), limit=5) for _ in range(3)), return_exceptions=True)
    assert found == [DOWN] * 3
    inner.error = None
    assert (await catalogue.search(Query(), limit=5)).matched == 5


class Changing(MemoryCatalogue):
    """Its item changes while a slow read of it is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.version = 1
        self.read = 0

    async def item(self, collection: str, item_id: str) -> Members | None:
        self.read += 1
        seen = self.version
        await self.open.wait()
        return None if seen == 1 else {}

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        self.version = 2


async def test_a_read_that_begins_after_a_write_does_not_share_one_from_before_it() -> None:
    inner = Changing()
    catalogue = GuardedCatalogue(inner)
    before = asyncio.create_task(catalogue.item("c", "i"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await catalogue.put_items("c", [])
    after = asyncio.create_task(catalogue.item("c", "i"))
    await asyncio.sleep(0)
    inner.open.set()
    assert (await before, await after, inner.read) == (None, {}, 2)


async def test_flights_are_forgotten_when_they_land() -> None:
    flights: SingleFlight[int, int] = SingleFlight()

    async def one() -> int:
        return 1

    assert await asyncio.gather(*(flights.run(n, one) for n in range(1_000))) == [1] * 1_000
    assert len(flights) == 0


async def test_an_answer_is_let_go_with_the_last_who_had_it_and_not_first_when_garbage_is_looked_for() -> None:
    class Large:
        pass

    async def one() -> Large:
        return Large()

    flights: SingleFlight[str, Large] = SingleFlight()
    gc.disable()
    try:
        answers = await asyncio.gather(flights.run("a", one), flights.run("a", one))
        seen = weakref.ref(answers[0])
        del answers
        await asyncio.sleep(0)
        assert seen() is None
    finally:
        gc.enable()


async def test_who_waits_for_a_flight_that_is_cancelled_is_cancelled() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    begun = asyncio.Event()

    async def never() -> int:
        begun.set()
        await asyncio.Event().wait()
        return 1

    waiting = flights.run("a", never)
    await begun.wait()
    (flight,) = (task for task in asyncio.all_tasks() if task.get_name() == "single flight")
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(flights) == 0
