"""Queryables: what a collection can be asked for, and what is left of it."""

from pathlib import Path

import aiohttp
import pytest
from free_ports import free_port
from hda_lake import OLCI, S2, Client, gateway_over
from hda_ordering import ordering_site
from order_provider import ERA5, order_provider

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]


async def test_a_provider_narrows_its_own_values_for_who_has_no_credentials(tmp_path: Path) -> None:
    async with (
        order_provider(free_port()) as provider,
        gateway_over([ordering_site(provider, tmp_path)], tmp_path / "state") as client,
        aiohttp.ClientSession() as nobody,
    ):
        path = f"{client.url}/stac/v2/collections/{ERA5}/queryables"
        async with nobody.get(path) as response:
            whole = await response.json(content_type=None)
        assert whole["$schema"] == "https://json-schema.org/draft/2019-09/schema"
        assert whole["$id"] == path
        assert whole["additionalProperties"] is False
        assert whole["required"] == ["ecmwf:variable"]
        assert len(whole["properties"]["ecmwf:month"]["items"]["enum"]) == 12
        assert whole["properties"]["ecmwf:data_format"]["default"] == "grib"
        async with nobody.get(path, params=[("ecmwf:year", "2020"), ("federation:backends", "cds")]) as response:
            left = await response.json(content_type=None)
        assert left["properties"]["ecmwf:month"]["items"]["enum"] == ["01", "02"]
        async with nobody.get(path, params={"federation:backends": "nowhere"}) as response:
            assert response.status == 400


async def test_where_no_site_tells_items_are_looked_at(lake: Client) -> None:
    _, told = await lake.get(f"/stac/v2/collections/{S2}/queryables")
    assert told["properties"]["platform"]["const"] == "sentinel-2a"
    assert told["properties"]["eo:cloud_cover"]["enum"] == [float(day) for day in range(1, 8)]
    assert told["additionalProperties"] is True
    _, left = await lake.get(f"/stac/v2/collections/{S2}/queryables", **{"eo:cloud_cover": "3"})
    assert left["properties"]["eo:cloud_cover"]["const"] == 3.0
    _, theirs = await lake.get(f"/stac/v2/collections/{OLCI}/queryables", **{"federation:backends": "EODC"})
    assert theirs["properties"]["eo:cloud_cover"]["const"] == 50.0


async def test_who_may_not_search_does_not_learn_of_items_by_their_queryables(lake: Client) -> None:
    async with (
        aiohttp.ClientSession() as nobody,
        nobody.get(f"{lake.url}/stac/v2/collections/{S2}/queryables") as response,
    ):
        told = await response.json(content_type=None)
        assert response.status == 200
        assert "eo:cloud_cover" not in told["properties"]


async def test_the_queryables_of_all_collections_are_told(lake: Client) -> None:
    status, told = await lake.get("/stac/v2/queryables")
    assert (status, "datetime" in told["properties"]) == (200, True)
