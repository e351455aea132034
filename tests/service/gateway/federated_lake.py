"""Real sites and a real gateway on loopback, as a client sees them."""

import gzip
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from free_ports import free_port
from plain_client import PlainClient
from waiting import until

from edges.catalogues.sources import collection_of
from edges.catalogues.sqlite import SqliteCatalogue
from edges.model import Members, Query
from edges.settings import CatalogueSettings, Secret, SiteSettings
from edges.site.app import SiteServerSettings, serving
from edges.stac.matching import compile_query
from edges.stac.order import compile_key, total_order
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, LimitSettings, ServerSettings, Settings

TOKEN = "token-of-alice"
BOBS_TOKEN = "token-of-bob"
USERS = (("alice", TOKEN), ("bob", BOBS_TOKEN))

Name = tuple[str, str]
"""What an item goes by: (collection, id)."""

_MEMBERS = msgspec.json.Decoder(Members)
_PAGE_ITEMS = 20_000
_PATIENCE = 180.0
"""Seconds that a search may take where a test is not about time: real items are many, and machines may be busy."""


def read_items(folder: Path) -> dict[Name, Members]:
    """Return the items below a folder as a catalogue would hold them: the last of equal names, and none without id."""
    found: dict[Name, Members] = {}
    for path in sorted(folder.rglob("*.ndjson.gz")):
        with gzip.open(path, "rb") as lines:
            for line in lines:
                item = _MEMBERS.decode(line)
                item.setdefault("collection", msgspec.Raw(msgspec.json.encode(collection_of(path))))
                if name_of(item)[1]:
                    found[name_of(item)] = item
    return found


def name_of(item: Members) -> Name:
    return msgspec.json.decode(item["collection"]), msgspec.json.decode(item["id"])


def expected(items: Mapping[Name, Members], query: Query) -> list[Name]:
    """Return what a search must give, by looking at each item."""
    matches, key = compile_query(query), compile_key(total_order(query.sortby))
    return [name_of(item) for item in sorted((each for each in items.values() if matches(each)), key=key)]


class Client(PlainClient):
    """A gateway, as a plain client sees it."""

    async def found(self, **body: Any) -> list[Name]:
        """Return the names on the first page of a search that every site answers."""
        status, page = await self.post(body)
        assert status == 200, page
        assert page["federation:missing"] == []
        return [(item["collection"], item["id"]) for item in page["features"]]

    async def walk(self, **body: Any) -> list[Name]:
        """Return the names on all pages, by following the links as they are told."""
        names: list[Name] = []
        async for page in self.pages(body):
            names += [(item["collection"], item["id"]) for item in page["features"]]
        return names

    async def pages(self, body: Mapping[str, Any]) -> AsyncIterator[Any]:
        url, sent = f"{self.url}/search", dict(body)
        while True:
            async with self.session.post(url, json=sent) as response:
                page = msgspec.json.decode(await response.read())
            assert response.status == 200, page
            assert page["federation:missing"] == [], page["federation"]
            yield page
            following = next((link for link in page["links"] if link["rel"] == "next"), None)
            if following is None:
                return
            assert page["features"], "an empty page with a next link: clients stop there"
            assert following["href"].startswith(self.url)
            assert len(following["body"]["token"]) <= 400
            url, sent = following["href"], following["body"]


def hub(site: str, url: str, **catalogue: Any) -> SiteSettings:
    return SiteSettings(id=site, kind="hub", catalogue=CatalogueSettings(url=url, **catalogue))


@asynccontextmanager
async def gateway_over(
    sites: Iterable[SiteSettings],
    state: Path,
    *,
    tokens: tuple[tuple[str, str], ...] = USERS,
    limits: LimitSettings | None = None,
    anonymous: str = "read",
    port: int | None = None,
    unknown: Collection[str] = ("dead", "gone"),
) -> AsyncIterator[Client]:
    """Run a gateway over sites; gives a client of the first user once all sites but ``unknown`` ones are known."""
    sites = tuple(sites)
    settings = Settings(
        sites=sites,
        server=ServerSettings(port=port or free_port(), state=str(state)),
        auth=AuthSettings(anonymous=anonymous, tokens=tuple(_token(state, *each) for each in tokens)),  # type: ignore[arg-type]
        limits=limits or LimitSettings(page_items=_PAGE_ITEMS, probe_seconds=3600.0, deadline_seconds=_PATIENCE),
    )
    headers = {"Authorization": f"Bearer {tokens[0][1]}"} if tokens else {}
    async with running_gateway(settings) as url, aiohttp.ClientSession(headers=headers) as session:
        client = Client(url, session)
        await _known(client, {site.id for site in sites} - {*unknown})
        yield client


async def _known(client: Client, sites: set[str]) -> None:
    """Wait for sites that a busy machine was too slow to learn of at once."""
    if not sites or not client.session.headers:
        return

    async def all_known() -> bool:
        return sites.isdisjoint((await client.get("/collections"))[1]["federation:missing"])

    await until(all_known)


def _token(state: Path, user: str, secret: str) -> ApiTokenSettings:
    state.mkdir(parents=True, exist_ok=True)
    file = state / f"token-{user}"
    file.write_text(secret)
    return ApiTokenSettings(user=user, token=Secret(file=str(file)), groups=("root/eo",))


@asynccontextmanager
async def site_of(
    items: Iterable[Any], db: Path, *, described: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[str]:
    """Serve these items as a site; gives its URL. ``described`` tells more of collections, by their ids."""
    async with SqliteCatalogue(db, readers=2) as catalogue:
        by_collection: dict[str, list[Any]] = {}
        for item in items:
            by_collection.setdefault(item["collection"], []).append(item)
        for name, members in by_collection.items():
            await catalogue.put_collection(collection(name) | (described or {}).get(name, {}))
            await catalogue.put_items(name, members)
        async with serving(catalogue, SiteServerSettings(shutdown_seconds=1.0, **settings)) as url:
            yield url


@asynccontextmanager
async def provider_sites(folders: Iterable[Path], state: Path) -> AsyncIterator[dict[str, str]]:
    """Serve each folder of items as a site; gives their URLs by the folders' names."""
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        for provider in folders:
            catalogue = await stack.enter_async_context(SqliteCatalogue(state / f"{provider.name}.db", readers=2))
            await catalogue.load([provider])
            site = SiteServerSettings(title=provider.name, shutdown_seconds=1.0)
            urls[provider.name] = await stack.enter_async_context(serving(catalogue, site))
        yield urls


def collection(name: str) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": name,
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }


def item(item_id: str, collection: str = "c", *, day: int = 1, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
        "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": f"2024-01-{day:02}T00:00:00Z", **properties},
        "assets": {"data": {"href": f"https://data.example/{item_id}.tif"}},
        "links": [],
    }
