"""Free text over real catalogues gives what looking at each item and its collection gives."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from federated_lake import Client, Name, name_of

from edges.model import Members, Query
from edges.stac.free_text import texts_of_collections
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

WORDS = ["sentinel", "S2A*,LC08*", "naip AND mt", "dem NOT copernicus", "landsat AND l2", "+cop -s90", '"10 S90"']


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("q", WORDS)
async def test_words_find_what_holds_them(
    lake: Client, providers: dict[str, str], union: Mapping[Name, Members], told: dict[str, Any], q: str
) -> None:
    if not told:  # what each site says of its collections
        collections = []
        for url in providers.values():
            async with lake.session.get(f"{url}/collections") as response:
                collections += msgspec.json.decode(await response.read())["collections"]
        told |= texts_of_collections(collections)
    query = Query(text=(q,))
    matches, key = compile_query(query, told), compile_key(total_order(()))
    expected = [name_of(item) for item in sorted((one for one in union.values() if matches(one)), key=key)]
    assert expected
    assert await lake.walk(q=q, limit=2_000) == expected


async def test_words_beside_everything_else(lake: Client) -> None:
    body = {"bbox": [-106.5, 38.5, -104.0, 41.0], "datetime": "2024-06-01T00:00:00Z/.."}
    both = await lake.walk(
        **body, q="sentinel", filter={"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}, limit=50
    )
    words, rest = (
        await lake.walk(**body, q="sentinel", limit=500),
        await lake.walk(**body, filter={"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}, limit=500),
    )
    assert both == [name for name in words if name in set(rest)]
    assert both
