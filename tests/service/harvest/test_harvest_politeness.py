"""A site is read as it wants to be: counted at a real server, over many transfers at once."""

import asyncio
import time
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp import web
from served_app import served

from edges.lines.lines import Lines
from edges.settings import PolitenessSettings
from harvest.database import Journal
from harvest.database_sqlite import SqliteDatabase
from harvest.errors import LeftAlone
from harvest.means import Means
from harvest.model import Source
from harvest.politeness import Manners, origin_of
from harvest.reading import Patience
from harvest.seams import unobserved
from harvest.sources import Sources
from harvest.turns import DatabaseTurns

pytestmark = pytest.mark.service

BODY = b"x" * 200_000


class Counting:
    """A server of one file that counts who reads it at once, and when requests came."""

    def __init__(self):
        self.reading = self.most = 0
        self.times = []
        self.hop = False

    async def answer(self, request):
        self.times.append(time.monotonic())
        if self.hop and "at" not in request.query:
            return web.Response(status=302, headers={"Location": "/file?at=1"})
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            response = web.StreamResponse()
            response.content_length = len(BODY)
            await response.prepare(request)
            for start in range(0, len(BODY), 50_000):
                await response.write(BODY[start : start + 50_000])
                await asyncio.sleep(0)
            return response
        finally:
            self.reading -= 1


@pytest.fixture
async def counting():
    server = Counting()
    app = web.Application()
    app.router.add_get("/file", server.answer)
    async with served(app) as url:
        server.url = f"{url}/file"
        yield server


async def read_all(counting, times, **wanted):
    manners = Manners({"hub": PolitenessSettings(**wanted)})
    patience = Patience(stall=10.0, attempts=3, pause=0.1)
    async with Lines() as lines:
        means = Means(lines=lines, check=lambda _: None, places={}, manners=manners)
        sources = Sources(means=means, patience=patience)
        seen = []

        async def one():
            async with sources.reading(Source(site="hub", href=counting.url)) as reading:
                seen.append(manners.told()[0].reading)
                return len(await reading.read_part(len(BODY)))

        assert await asyncio.gather(*(one() for _ in range(times))) == [len(BODY)] * times
        assert manners.told()[0].reading == manners.told()[0].waiting == 0
        return seen


async def test_no_more_connections_than_a_site_wants(counting):
    seen = await read_all(counting, 12, connections=3)
    assert max(seen) <= 3
    assert counting.most <= 3


async def test_requests_keep_their_distance_redirects_too(counting):
    counting.hop = True
    await read_all(counting, 4, requests_per_second=20.0)
    assert len(counting.times) == 8
    assert counting.times[-1] - counting.times[0] >= 7 / 20 - 0.05


async def test_bytes_keep_to_their_rate_over_all_transfers(counting):
    began = time.monotonic()
    await read_all(counting, 4, bytes_per_second=1_000_000)
    assert time.monotonic() - began >= 4 * len(BODY) / 1_000_000 - 0.05


async def test_a_site_is_read_politely_whoever_names_its_address_also_within_an_archive(counting):
    manners = Manners({"hub": PolitenessSettings(connections=2)}, origins={origin_of(counting.url): "hub"})
    for href in (counting.url, f"zip://x::{counting.url}"):
        assert manners.host_of(Source(site="somebody", href=href)) == "hub"
    assert manners.host_of(Source(site="somebody", href="https://elsewhere.example/x")) == "somebody"


async def test_outside_its_hours_a_site_is_not_asked(counting):
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()
    manners = Manners({"hub": PolitenessSettings(hours="22-6")}, wall=lambda: noon)
    with pytest.raises(LeftAlone, match="until 22:00 UTC") as left:
        await manners.turn("hub")
    assert left.value.after == 10 * 3600
    (await manners.turn("another")).end()
    assert counting.times == []


async def test_whoever_gives_up_waiting_takes_no_turn():
    manners = Manners({"hub": PolitenessSettings(connections=1)})
    first = await manners.turn("hub")
    waiting = asyncio.create_task(manners.turn("hub"))
    await asyncio.sleep(0)
    assert manners.told()[0].waiting == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    first.end()
    first.end()
    (await asyncio.wait_for(manners.turn("hub"), 5)).end()
    assert (manners.told()[0].reading, manners.told()[0].waiting) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"requests_per_second": 0.0},
        {"bytes_per_second": 1},
        {"hours": "22"},
        {"hours": "5-5"},
        {"hours": "9-25"},
    ],
)
def test_wishes_that_cannot_be_are_refused(wrong):
    with pytest.raises((ValueError, msgspec.ValidationError)):
        PolitenessSettings(**wrong)


async def test_two_gateways_on_one_database_read_a_site_together_as_it_wants(counting, tmp_path):
    wanted = {"hub": PolitenessSettings(connections=2, requests_per_second=40.0)}
    patience = Patience(stall=10.0, attempts=3, pause=0.1)

    async def gateway():
        async with SqliteDatabase(tmp_path / "harvest.db") as database, Lines() as lines:
            journal = Journal(database=database, clock=time.time, checkpoint=unobserved)
            turns = DatabaseTurns(journal=journal, sites=wanted, seconds=5.0)
            keeping = asyncio.create_task(_repeated(turns))
            manners = Manners(wanted, turns=turns)
            means = Means(lines=lines, check=lambda _: None, places={}, manners=manners)
            sources = Sources(means=means, patience=patience)

            async def one():
                async with sources.reading(Source(site="hub", href=counting.url)) as reading:
                    return len(await reading.read_part(len(BODY)))

            assert await asyncio.gather(*(one() for _ in range(5))) == [len(BODY)] * 5
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    await asyncio.gather(gateway(), gateway())
    assert counting.most <= 2
    assert len(counting.times) == 10
    assert counting.times[-1] - counting.times[0] >= 9 / 40 - 0.05


async def _repeated(turns):
    while True:
        await turns.turn()
