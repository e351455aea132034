"""Items written into a site together: whole where the site can, told where it cannot."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from served_app import served

from edges.catalogues.sqlite import SqliteCatalogue
from edges.catalogues.stac_api import StacApiCatalogue
from edges.catalogues.stac_writing import PartlyWritten
from edges.errors import NotFound, SiteMisbehaved
from edges.settings import CatalogueSettings, Secret
from edges.site.app import SiteServerSettings, serving

pytestmark = pytest.mark.service

TOKEN = "write-token"
Answer = Callable[[str, Any], int]


def item(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "c", "geometry": None, "links": [],
        "properties": {"datetime": "2020-01-01T00:00:00Z", **properties}, "assets": {},
    }  # fmt: skip


@asynccontextmanager
async def remote(url: str, folder: Path) -> AsyncIterator[StacApiCatalogue]:
    (folder / "token").write_text(TOKEN)
    settings = CatalogueSettings(url=url, write_token=Secret(file=str(folder / "token")))
    async with aiohttp.ClientSession() as session:
        yield StacApiCatalogue(site="users", settings=settings, session=session)


@asynccontextmanager
async def strange_site(answer: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve a site that answers writes as the test says; give its address, and what it was asked."""
    asked: list[str] = []

    async def write(request: web.Request) -> web.Response:
        body = msgspec.json.decode(await request.read())
        asked.append(f"{request.method} {body.get('id', body['type'])}")
        return web.Response(status=answer(request.method, body))

    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", write)])
    async with served(app) as url:
        yield url, asked


async def test_a_site_of_ours_takes_a_batch_whole_or_not_at_all_also_of_items_that_it_has(tmp_path: Path) -> None:
    async with SqliteCatalogue(tmp_path / "site.db", readers=2) as held:
        settings = SiteServerSettings(write_token=TOKEN, shutdown_seconds=1.0)
        async with serving(held, settings) as url, remote(url, tmp_path) as site:
            with pytest.raises(NotFound):
                await site.put_items("c", [item("one"), item("two")])
            await held.put_collection({"type": "Collection", "id": "c"})
            await site.put_items("c", [item("one"), item("two")])
            await site.put_items("c", [item("two", x=2), item("three")])
            with pytest.raises(SiteMisbehaved, match="geometry"):
                await site.put_items("c", [item("four"), item("two", x=3) | {"geometry": "none"}])
            assert await held.item("c", "four") is None
            assert b'"x":2' in bytes((await held.item("c", "two") or {})["properties"])
            assert await held.item("c", "three") is not None


async def test_a_site_that_takes_single_items_gets_them_one_by_one(tmp_path: Path) -> None:
    def answer(_: str, body: Any) -> int:
        return 405 if body["type"] == "FeatureCollection" else 201

    async with strange_site(answer) as (url, asked), remote(url, tmp_path) as site:
        await site.put_items("c", [item("one"), item("two")])
        await site.put_items("c", [item("three"), item("four")])
    # it is tried once whether it takes them together
    assert asked == ["POST FeatureCollection", "POST one", "POST two", "POST three", "POST four"]


async def test_a_site_that_only_creates_together_replaces_one_by_one(tmp_path: Path) -> None:
    def answer(method: str, body: Any) -> int:
        if body["type"] == "FeatureCollection":
            return 409 if method == "POST" else 405
        return 409 if method == "POST" and body["id"] == "one" else 201

    async with strange_site(answer) as (url, asked), remote(url, tmp_path) as site:
        await site.put_items("c", [item("one"), item("two")])
    both = ["POST FeatureCollection", "PUT FeatureCollection"]
    assert asked == [*both, "POST one", "PUT one", "POST two"]


async def test_where_a_batch_is_written_in_part_it_is_told_how_far_it_came(tmp_path: Path) -> None:
    def answer(_: str, body: Any) -> int:
        return {"FeatureCollection": 501}.get(body["type"]) or (500 if body["id"] == "three" else 201)

    async with strange_site(answer) as (url, _), remote(url, tmp_path) as site:
        with pytest.raises(PartlyWritten, match="2 of 4 items were written before") as told:
            await site.put_items("c", [item(name) for name in ("one", "two", "three", "four")])
        assert told.value.members == {"written": 2, "of": 4}
        with pytest.raises(SiteMisbehaved, match="500"):
            await site.put_items("c", [item("three")])
