"""The embedded catalogue at half a million items: pages, a box, a deep page, one item; CPU of all its threads.

The floor is the bare SQL that must be run at least, with the rows' bytes read, in the same process on the same file.
Ours adds planning, the exact test of each item's geometry, decoding to members, and the way to another thread.
"""

import asyncio
import json
import os
import random
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from benchmarks.harness import Row
from edges.catalogues.sqlite import SqliteCatalogue
from edges.catalogues.sqlite_migrations import migrate
from edges.catalogues.sqlite_rows import row_of
from edges.catalogues.sqlite_store import connect, transaction
from edges.catalogues.sqlite_write import Stored, derive_collection, refresh_derived, write_items
from edges.model import Interval, Query
from edges.stac.cql2 import parse_filter_text
from edges.stac.datetimes import format_instant, parse_instant

ITEMS, QUICK_ITEMS = 500_000, 20_000
COLLECTIONS = 12
ROUNDS = 40
PAGE = 100
VERSION = 1
"""Of the generated file; another one is built anew."""

_START = parse_instant("2015-01-01T00:00:00Z")
_SECOND = 1_000_000
_PAD = "x" * 600
"""Makes an item some 2 kB, as small real ones are."""

_FIRST = """
    SELECT b.body FROM (SELECT item FROM items ORDER BY datetime DESC, collection, id LIMIT ?) s
    JOIN bodies b USING (item)
"""
_DEEP = """
    SELECT b.body FROM (
        SELECT item FROM items WHERE datetime < ? ORDER BY datetime DESC, collection, id LIMIT ?
    ) s JOIN bodies b USING (item)
"""
_BOX = """
    SELECT b.body FROM (
        SELECT i.item FROM bounds r CROSS JOIN items i ON i.item = r.box / 2
        WHERE r.west <= ? AND r.east >= ? AND r.south <= ? AND r.north >= ?
        ORDER BY i.datetime DESC, i.collection, i.id LIMIT ?
    ) s JOIN bodies b USING (item)
"""
_ONE = "SELECT b.body FROM items i JOIN bodies b ON b.item = i.item WHERE i.collection = ? AND i.id = ?"

Task = Callable[[], Awaitable[object]]
Floor = Callable[[], object]


def run(*, quick: bool = False) -> list[Row]:
    """Measure, on a file that is built once."""
    path = _database(QUICK_ITEMS if quick else ITEMS)
    return asyncio.run(_measure(path))


def _database(count: int) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lakegate" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"catalogue-{VERSION}-{count}.db"
    if not path.exists():
        building = path.with_suffix(".building")
        building.unlink(missing_ok=True)
        _build(building, count)
        building.rename(path)
    return path


def _build(path: Path, count: int) -> None:
    connection = connect(path, writer=True)
    migrate(connection)
    with transaction(connection, write=True):
        for number in range(COLLECTIONS):
            derive_collection(connection, f"collection-{number:02}")
    items = _items(count)
    while True:
        chunk = [item for _, item in zip(range(20_000), items, strict=False)]
        if not chunk:
            break
        with transaction(connection, write=True):
            write_items(connection, chunk)
    with transaction(connection, write=True):
        refresh_derived(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _items(count: int) -> Iterator[Stored]:
    chance = random.Random(7)
    for number in range(count):
        body = _item(number, chance)
        yield row_of(body, None), body


def _item(number: int, chance: random.Random) -> bytes:
    west, south = chance.uniform(-180, 179), chance.uniform(-80, 79)
    ring = [[west, south], [west + 1, south + 0.1], [west + 0.9, south + 1], [west - 0.1, south + 0.9], [west, south]]
    moment = _START + chance.randrange(10 * 365 * 86_400) * _SECOND
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"S2_{number:07}_{chance.randrange(1 << 32):08x}",
        "collection": f"collection-{number % COLLECTIONS:02}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west - 0.1, south, west + 1, south + 1],
        "properties": {
            "datetime": format_instant(moment),
            "eo:cloud_cover": round(chance.uniform(0, 100), 2),
            "platform": chance.choice(["sentinel-2a", "sentinel-2b"]),
            "gsd": 10,
            "view:off_nadir": chance.uniform(0, 30),
        },
        "links": [],
        "assets": {
            name: {"href": f"https://lake.example/{number}/{name}.tif", "title": _PAD[:60]} for name in "abcdefgh"
        },
    }
    return json.dumps(item, separators=(",", ":")).encode()


async def _measure(path: Path) -> list[Row]:
    bare = connect(path, writer=False)
    async with SqliteCatalogue(path, readers=1, search_seconds=120) as catalogue:
        depth = _depth(bare)
        deep = await _position(catalogue, depth)
        one = bare.execute("SELECT collection, id FROM items WHERE item = 4242").fetchone()
        east, north = 11.0, 46.0
        box = (east - 1, north - 1, east, north)
        year = Interval(start=depth - 365 * 86_400 * _SECOND, end=depth)
        cloudless = parse_filter_text("eo:cloud_cover < 20 AND platform = 'sentinel-2a'")
        rows = [
            await _row("first page of 100", 2, _page(catalogue, Query()), _all(bare, _FIRST, PAGE)),
            await _row(
                "box of 1 degree, sorted, 100",
                10,
                _page(catalogue, Query(bbox=box)),
                _all(bare, _BOX, box[2], box[0], box[3], box[1], PAGE),
            ),
            await _row("page in the middle", 2, _page(catalogue, Query(), deep), _all(bare, _DEEP, depth, PAGE)),
            await _row("one item", 1, lambda: catalogue.item(*one), _all(bare, _ONE, *one)),
            await _row("a year, two collections, CQL2", 20, _page(catalogue, _mixed(year, cloudless)), None),
            await _row(
                "world box and CQL2", 20, _page(catalogue, Query(bbox=(-180, -90, 180, 90), filter=cloudless)), None
            ),
        ]
    bare.close()
    return rows


def _mixed(year: Interval, test: dict[str, object]) -> Query:
    return Query(collections=("collection-01", "collection-05"), datetime=year, filter=test)


def _depth(bare: sqlite3.Connection) -> int:
    half = bare.execute("SELECT count(*) / 2 FROM items").fetchone()[0]
    query = "SELECT datetime FROM items ORDER BY datetime DESC LIMIT 1 OFFSET ?"
    return int(bare.execute(query, (half,)).fetchone()[0])


async def _position(catalogue: SqliteCatalogue, depth: int) -> str:
    """Return the position after the newest item up to a moment: the order does not depend on the interval."""
    batch = await catalogue.search(Query(datetime=Interval(end=depth)), limit=1)
    assert batch.next is not None
    return batch.next


def _page(catalogue: SqliteCatalogue, query: Query, after: str | None = None) -> Task:
    async def task() -> object:
        batch = await catalogue.search(query, limit=PAGE, after=after)
        assert batch.items
        return batch

    return task


def _all(bare: sqlite3.Connection, sql: str, *values: object) -> Floor:
    return lambda: bare.execute(sql, values).fetchall()


async def _row(work: str, target: float, ours: Task, floor: Floor | None) -> Row:
    samples: list[float] = []
    floors: list[float] = []
    await ours()
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        await ours()
        samples.append((time.process_time_ns() - started) / 1e6)
        if floor is not None:
            started = time.process_time_ns()
            floor()
            floors.append((time.process_time_ns() - started) / 1e6)
    median = statistics.median(samples)
    least = statistics.median(floors) if floors else None
    return Row(
        work=work,
        unit="ms CPU",
        ours=median,
        ratio=median / least if least else median / target,
        target=f"<= {target} ms",
        held=median <= target,
        floor=least,
        floor_name="ms CPU of bare SQL" if least else "",
    )
