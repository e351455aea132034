"""A walk over the composed gateway and real catalogues is the sorted union of their files."""

from collections.abc import Mapping

import pytest
from federated_lake import Client, Name, expected

from edges.model import Members, Query, SortKey

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

Union = Mapping[Name, Members]


async def test_a_walk_over_all_providers_gives_each_item_once_newest_first(lake: Client, union: Union) -> None:
    walked = await lake.walk(limit=5_000)
    assert len(walked) == len(set(walked)) == len(union)
    assert walked == expected(union, Query())


async def test_a_walk_by_cloud_cover_is_the_sorted_union_too(lake: Client, union: Union) -> None:
    keys = (SortKey(field="eo:cloud_cover"), SortKey(field="datetime", descending=True))
    sortby = [{"field": "eo:cloud_cover", "direction": "asc"}, {"field": "datetime", "direction": "desc"}]
    walked = await lake.walk(limit=250, sortby=sortby)
    assert walked == expected(union, Query(sortby=keys))
