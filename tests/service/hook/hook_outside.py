"""What HOOK's clients and gateways find elsewhere: files, a catalogue that wants credentials, a hub with one scene."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from served_app import served

from edges.catalogues.sqlite import SqliteCatalogue
from edges.site.app import SiteServerSettings, serving

PASSWORD, CLIENT_SECRET, DESP_PASSWORD = "sesame-of-ann-7731", "client-secret-5512", "desp-password-9908"
EXTERNAL_TOKEN = "outside-token-6644"
SENTINELS = (PASSWORD, CLIENT_SECRET, DESP_PASSWORD, EXTERNAL_TOKEN)
COLLECTION = "EO.ESA.DAT.SENTINEL-2.MSI.L1C"
SCENE = "S2A_MSIL1C_20230910T050701_N0509_R019_T47VLH_20230910T074321.SAFE"
FILES = {"B02.jp2": b"blue" * 40_000, "B03.jp2": b"green" * 30_000, "MTD.xml": b"<metadata/>"}


@dataclass
class Outside:
    """Files, an identity provider, a STAC API and an OData catalogue elsewhere."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: {f"open/{name}": body for name, body in FILES.items()})
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    grants: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    refuse: bool = False
    redirect_to: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Outside"]:
        app = web.Application()
        app.add_routes(
            [
                web.post("/auth/token", self._token),
                web.get("/stac/collections/{collection}/items/{item}", self._item),
                web.get("/stac/search", self._search),
                web.get("/csc/Products", self._products),
                web.get("/csc/Products({id})/$value", self._value),
                web.get("/{path:(?:open|closed)/.*}", self._file),
            ]
        )
        async with served(app) as self.url:
            try:
                yield self
            finally:
                if self.gate is not None:
                    self.gate.set()

    def _note(self, request: web.Request) -> bool:
        self.seen.append((request.path, dict(request.headers)))
        assert "Cookie" not in request.headers
        return request.headers.get("Authorization") == f"Bearer {EXTERNAL_TOKEN}"

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.grants.append(form)
        right = (
            form.get("password") == PASSWORD
            if form["grant_type"] == "password"
            else (form.get("client_secret") == CLIENT_SECRET)
        )
        if self.refuse or not right:
            return web.json_response({"error": "invalid_grant"}, status=401)
        return web.json_response({"access_token": EXTERNAL_TOKEN, "expires_in": 300, "token_type": "Bearer"})

    async def _item(self, request: web.Request) -> web.Response:
        if not self._note(request):
            return web.Response(status=401)
        if request.match_info["item"] != SCENE:
            return web.Response(status=404)
        assets = {name: {"href": f"{self.url}/closed/{name}", "file:size": len(body)} for name, body in FILES.items()}
        return web.json_response(scene_item(assets))

    async def _search(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"type": "FeatureCollection", "features": []})

    async def _products(self, request: web.Request) -> web.Response:
        if not self._note(request):
            return web.Response(status=401)
        if request.query["$filter"] != f"Name eq '{SCENE}'":
            return web.json_response({"value": []})
        body = FILES["B02.jp2"]
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        product = {"Id": "00000000-1111", "Name": SCENE, "ContentLength": len(body), "Online": True}
        return web.json_response({"value": [product | {"Checksum": [{"Algorithm": "MD5", "Value": digest}]}]})

    async def _value(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        return web.Response(status=301, headers={"Location": f"{self.redirect_to or self.url}/closed/B02.jp2"})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        known = self._note(request)
        folder, _, name = request.match_info["path"].partition("/")
        if folder == "closed" and not known:
            return web.Response(status=401)
        if self.gate is not None:
            await self.gate.wait()
        body = FILES.get(name) or self.files.get(f"open/{name}")
        return web.Response(status=404) if body is None else web.Response(body=body, headers={"ETag": f'"{name}"'})


def scene_item(assets: dict[str, Any], item_id: str = SCENE) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": COLLECTION,
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
        "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": "2023-09-10T05:07:01Z"},
        "assets": assets,
        "links": [],
    }


def collection() -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "description": "Sentinel-2",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }


@asynccontextmanager
async def hub_of(outside: Outside, db: Path, items: list[dict[str, Any]] | None = None) -> AsyncIterator[str]:
    """Serve a hub's catalogue with one scene."""
    assets = {name: {"href": f"{outside.url}/open/{name}", "file:size": len(body)} for name, body in FILES.items()}
    async with SqliteCatalogue(db, readers=1) as catalogue:
        await catalogue.put_collection(collection())
        await catalogue.put_items(COLLECTION, items or [scene_item(assets)])
        async with serving(catalogue, SiteServerSettings(shutdown_seconds=0.5)) as url:
            yield url
