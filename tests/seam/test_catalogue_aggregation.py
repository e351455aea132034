"""Aggregation at every catalogue that counts for itself: the same counts as looking at each item."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edges.catalogues.aggregating import CannotAggregate, aggregate
from edges.catalogues.harmonised import HarmonisedCatalogue
from edges.catalogues.memory import MemoryCatalogue
from edges.catalogues.sqlite import SqliteCatalogue
from edges.model import Query
from edges.profiles.model import Profile
from edges.stac.aggregation import AGGREGATIONS, INTERVALS, Tally, Wanted
from edges.stac.aggregation_count import Counting
from edges.stac.matching import compile_query
from edges.stac.request import search_from_post

pytestmark = pytest.mark.seam

PLATFORMS = ["s2a", "s2b", None, 7, True, ["x"], {"a": 1}, 1.5]
CLOUDS = [0, 4.99, 5, 15.0, 39, 40, 100, None, "much", True, -1]
MOMENTS = [
    "2020-01-31T23:59:59.999999Z", "2020-02-01T00:00:00Z", "1955-05-05T05:05:05.5Z", None, "not a time",
    "2020-03-01T00:00:00+05:00", "2021-12-27T00:00:00Z",
]  # fmt: skip


def item(number: int) -> dict[str, Any]:
    longitude = number % 300 - 150
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"i{number:03}", "collection": "abc"[number % 3],
        "geometry": None if number % 11 == 0 else {"type": "Point", "coordinates": [longitude, number % 80]},
        "properties": {
            "datetime": MOMENTS[number % len(MOMENTS)], "platform": PLATFORMS[number % len(PLATFORMS)],
            "eo:cloud_cover": CLOUDS[number % len(CLOUDS)], "view:off_nadir": number / 10,
            "grid:code": f"G{number % 4}",
        },
        "assets": {}, "links": [],
    }  # fmt: skip


ITEMS = [item(number) for number in range(400)]
PRECISION = {"geometry_geohash_grid_frequency": 3, "centroid_geohash_grid_frequency": 2}
IN_SQL = Wanted(
    names=(
        "total_count", "datetime_min", "datetime_max", "datetime_frequency", "collection_frequency",
        "platform_frequency", "cloud_cover_frequency",
    )
)  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "all": {},
    "collections": {"collections": ["a", "c", "none"]},
    "one collection": {"collections": ["b"]},
    "ids": {"ids": ["i001", "i002", "i399", "none"]},
    "no ids": {"ids": []},
    "a time": {"datetime": "2020-01-01T00:00:00Z/2020-02-15T00:00:00Z"},
    "a box": {"bbox": [-50, 0, 50, 40]},
    "a box over the antimeridian": {"bbox": [140, 0, -140, 80]},
    "a filter": {"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}},
    "words": {"q": ["i001"]},
}


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[MemoryCatalogue]:
    yield MemoryCatalogue()


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[SqliteCatalogue]:
    async with SqliteCatalogue(folder / "x.db", readers=1) as catalogue:
        yield catalogue


@pytest.fixture(params=[memory, sqlite])
async def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    async with request.param(tmp_path) as catalogue:
        for name in "abc":
            await catalogue.put_collection({"type": "Collection", "id": name, "links": []})
            await catalogue.put_items(name, [each for each in ITEMS if each["collection"] == name])
        yield catalogue


def query_of(body: dict[str, Any]) -> Query:
    return search_from_post(msgspec.json.encode(body), default_limit=1, max_limit=1).query


def looked_at(query: Query, wanted: Wanted) -> Tally:
    counting, match = Counting(wanted), compile_query(query)
    for each in ITEMS:
        members = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in each.items()}
        if match(members):
            counting.add(members)
    return counting.tally()


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("wanted", [IN_SQL, Wanted(names=tuple(AGGREGATIONS), precision=PRECISION)], ids=["sql", "all"])
async def test_a_catalogue_counts_what_matches(catalogue: Any, name: str, wanted: Wanted) -> None:
    query = query_of(BODIES[name])
    assert await catalogue.aggregate(query, wanted) == looked_at(query, wanted)


@pytest.mark.parametrize("interval", INTERVALS)
async def test_times_fall_into_the_intervals_of_the_calendar(catalogue: Any, interval: Any) -> None:
    wanted = msgspec.structs.replace(IN_SQL, interval=interval)
    assert await catalogue.aggregate(Query(), wanted) == looked_at(Query(), wanted)


async def test_only_what_has_the_same_words_at_a_site_is_counted_there(catalogue: Any) -> None:
    same = HarmonisedCatalogue(catalogue, Profile(name="same"), site="s")
    assert await aggregate(same, Query(), IN_SQL) == looked_at(Query(), IN_SQL)
    other = HarmonisedCatalogue(catalogue, Profile(name="other", collections={"a": "z"}), site="s")
    counted = Wanted(names=tuple(sorted((await other.capabilities()).aggregates)), precision=PRECISION)
    if counted.names:
        told = await aggregate(other, Query(collections=("z",)), counted)
        assert told.total == looked_at(Query(collections=("a",)), counted).total
    with pytest.raises(CannotAggregate):
        await aggregate(Unable(), Query(), IN_SQL)


class Unable(HarmonisedCatalogue):
    """A catalogue over one that counts nothing."""

    def __init__(self) -> None:
        super().__init__(Silent(), Profile(name="none"), site="s")  # type: ignore[arg-type]


class Silent:
    """What is no catalogue that counts."""
