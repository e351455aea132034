"""An order that is claimed is tried before it is relied on."""

from typing import Any

import msgspec
import pytest

from edges.audit import OrderTrust, audit_order
from edges.catalogues.memory import MemoryCatalogue
from edges.model import Batch, Query, SortKey
from edges.stac.order import total_order


class Sorting(MemoryCatalogue):
    """Sorts by its own mind, whatever it is asked for."""

    def __init__(self, *mind: SortKey) -> None:
        super().__init__()
        self.mind = mind

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        if self.mind:
            query = msgspec.structs.replace(query, sortby=self.mind)
        return await super().search(query, limit=min(limit, 3), after=after)


async def trust(catalogue: Sorting, moments: list[str]) -> OrderTrust:
    await catalogue.put_collection({"id": "c", "type": "Collection"})
    items: list[dict[str, Any]] = [
        {"type": "Feature", "id": f"i{n}", "collection": "c", "geometry": None, "properties": {"datetime": moment}}
        for n, moment in enumerate(moments)
    ]
    await catalogue.put_items("c", [each | {"assets": {}, "links": [], "stac_version": "1.0.0"} for each in items])
    return await audit_order(catalogue, total_order(()))


ALL_EQUAL = ["2020-01-01T00:00:00Z"] * 4
DIFFERENT = [f"2020-01-0{n}T00:00:00Z" for n in (1, 3, 2, 4)]


@pytest.mark.parametrize("moments", [ALL_EQUAL, DIFFERENT, []])
async def test_a_catalogue_that_sorts_as_asked_is_trusted(moments: list[str]) -> None:
    found = await trust(Sorting(), moments)
    assert (found.sort, found.ties) == (True, True)


async def test_one_that_ignores_the_order_is_not() -> None:
    assert (await trust(Sorting(SortKey(field="id")), DIFFERENT)).sort is False


async def test_one_whose_own_order_is_right_one_way_is_found_out_by_the_other_way() -> None:
    assert (await trust(Sorting(SortKey(field="datetime", descending=True)), DIFFERENT)).sort is False


async def test_one_that_breaks_ties_its_own_way_is_trusted_but_for_ties() -> None:
    found = await trust(Sorting(SortKey(field="id", descending=True)), ALL_EQUAL)
    assert (found.sort, found.ties) == (True, False)


class Hesitant(Sorting):
    """Gives ``empty`` pages before the first items, each with more behind it."""

    empty = 1

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        given = int(after.removeprefix("empty ")) if after is not None and after.startswith("empty ") else 0
        if after is None or after.startswith("empty "):
            if given < self.empty:
                return Batch(items=[], next=f"empty {given + 1}")
            after = None
        return await super().search(query, limit=limit, after=after)


async def test_what_comes_behind_empty_pages_is_looked_at_too() -> None:
    found = await trust(Hesitant(), [*DIFFERENT, "soon"])
    assert found == OrderTrust(sort=True, ties=True, kinds={"datetime": frozenset({"number", "text"})})
    assert (await trust(Hesitant(SortKey(field="id")), DIFFERENT)).sort is False


async def test_one_whose_pages_stay_empty_is_not_trusted() -> None:
    endless = Hesitant()
    endless.empty = 1_000
    assert await trust(endless, DIFFERENT) == OrderTrust(sort=False, ties=False)


async def test_the_kinds_of_values_show_at_both_ends_of_the_order() -> None:
    moments = ["2020-01-01T00:00:00Z", "2020-01-02", "soon", *["2020-01-01T00:00:00Z"] * 60]
    assert (await trust(Sorting(), moments)).kinds == {"datetime": {"number", "text"}}
