"""A real gateway that keeps users' collections, over real sites on loopback, as several users see it."""

import io
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from free_ports import free_port

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import CatalogueSettings, Secret, SiteSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import (
    ApiTokenSettings,
    AuthSettings,
    ContributedSettings,
    LimitSettings,
    QuotaSettings,
    ServerSettings,
    Settings,
)

USERS: Mapping[str, Mapping[str, Any]] = {
    "ada": {"groups": ("root/eo/flood",)},
    "bob": {"groups": ("root/eo/fire",)},
    "carl": {"groups": ("root/eo/flood/night",)},
    "dora": {"groups": ("root/eo",), "roles": ("publisher", "DPAD_Direct_Access")},
    "root": {"groups": ("root",), "admin": True},
}


class User:
    """The gateway as one user sees it; without a token, as nobody."""

    def __init__(self, url: str, session: aiohttp.ClientSession, token: str | None) -> None:
        self.url = url
        self._session = session
        self.token = token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **parameters: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        kind = {} if body is None or isinstance(body, bytes) else {"Content-Type": "application/json"}
        async with self._session.request(
            method,
            self.url + path,
            params=parameters,
            headers={**self._headers, **kind, **(headers or {})},
            data=io.BytesIO(data) if data else None,
        ) as response:
            text = await response.read()
            told = msgspec.json.decode(text) if text and _is_json(response.content_type) else text
            return response.status, told, response.headers

    async def get(self, path: str, **parameters: str) -> Any:
        status, told, _ = await self.call("GET", path, **parameters)
        assert status == 200, (status, told)
        return told

    async def status(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        return (await self.call(method, path, body, headers))[0]

    async def ids(self, **search: Any) -> list[str]:
        status, page, _ = await self.call("POST", "/search", {"limit": 100} | search)
        assert status == 200, page
        return [item["id"] for item in page["features"]]


def _is_json(kind: str) -> bool:
    return kind.endswith("json") and "ndjson" not in kind


class Lake:
    """A gateway and its users."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.nobody = User(url, session, None)
        self.ada, self.bob, self.carl, self.dora, self.root = (User(url, session, f"token-of-{name}") for name in USERS)

    @property
    def all(self) -> dict[str, User]:
        return {
            "nobody": self.nobody, "ada": self.ada, "bob": self.bob, "carl": self.carl, "dora": self.dora,
        }  # fmt: skip


@asynccontextmanager
async def lake(
    state: Path,
    *,
    sites: Iterable[SiteSettings] = (),
    port: int | None = None,
    quotas: QuotaSettings | None = None,
    auth: Mapping[str, Any] | None = None,
    **contributed: Any,
) -> AsyncIterator[Lake]:
    settings = gateway_settings(state, sites=sites, port=port, quotas=quotas, auth=auth, **contributed)
    async with running_gateway(settings) as url, aiohttp.ClientSession() as session:
        yield Lake(url, session)


def gateway_settings(
    state: Path,
    *,
    sites: Iterable[SiteSettings] = (),
    port: int | None = None,
    quotas: QuotaSettings | None = None,
    auth: Mapping[str, Any] | None = None,
    **contributed: Any,
) -> Settings:
    state.mkdir(parents=True, exist_ok=True)
    return Settings(
        sites=tuple(sites),
        server=ServerSettings(port=port or free_port(), state=str(state)),
        auth=AuthSettings(tokens=tuple(_token(state, name, **told) for name, told in USERS.items()), **(auth or {})),
        quotas=quotas or QuotaSettings(),
        limits=LimitSettings(probe_seconds=3600.0, deadline_seconds=60.0),
        contributed=ContributedSettings(**{"site": "users", "public_role": "publisher", **contributed}),
    )


def _token(state: Path, name: str, **told: Any) -> ApiTokenSettings:
    file = state / f"token-{name}"
    file.write_text(f"token-of-{name}")
    return ApiTokenSettings(user=name, token=Secret(file=str(file)), **told)


@asynccontextmanager
async def site_of(items: Iterable[Any], db: Path, **settings: Any) -> AsyncIterator[str]:
    """Serve these items as a site; gives its URL."""
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(SqliteCatalogue(db, readers=2))
        by_collection: dict[str, list[Any]] = {}
        for item in items:
            by_collection.setdefault(item["collection"], []).append(item)
        for name, members in by_collection.items():
            await catalogue.put_collection(a_collection(name))
            await catalogue.put_items(name, members)
        yield await stack.enter_async_context(serving(catalogue, SiteServerSettings(shutdown_seconds=1.0, **settings)))


def hub(name: str, url: str, **more: Any) -> SiteSettings:
    catalogue = CatalogueSettings(url=url, **more.pop("catalogue", {}))
    return SiteSettings(id=name, kind="hub", catalogue=catalogue, **more)


def a_collection(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": f"What {name} holds.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        **more,
    }


def an_item(name: str, collection: str = "c", *, day: int = 1, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
        "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": f"2024-01-{day:02}T00:00:00Z", **properties},
        "assets": {"data": {"href": f"https://data.example/{collection}/{name}.tif"}},
        "links": [],
    }
