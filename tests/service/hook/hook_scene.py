"""A small world for HOOK's clients: a gateway over one edge, real S3, and catalogues outside that want credentials."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import boto3
import requests
from aiohttp import web
from botocore.config import Config
from free_ports import free_port

from edges.catalogues.sqlite import SqliteCatalogue
from edges.settings import CatalogueSettings, Secret, SiteSettings, StorageSettings
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, LimitSettings, QuotaSettings, ServerSettings, Settings
from harvest.settings import HarvestSettings, HookOutput, HookSettings, HookSource, PrivateBucket
from quotas.model import Policy

ACCESS, SECRET = "harvester", "not-a-real-secret-key"
PASSWORD, CLIENT_SECRET, DESP_PASSWORD = "sesame-of-ann-7731", "client-secret-5512", "desp-password-9908"
EXTERNAL_TOKEN = "outside-token-6644"
SENTINELS = (PASSWORD, CLIENT_SECRET, DESP_PASSWORD, EXTERNAL_TOKEN)
COLLECTION = "EO.ESA.DAT.SENTINEL-2.MSI.L1C"
SCENE = "S2A_MSIL1C_20230910T050701_N0509_R019_T47VLH_20230910T074321.SAFE"
FILES = {"B02.jp2": b"blue" * 40_000, "B03.jp2": b"green" * 30_000, "MTD.xml": b"<metadata/>"}
USERS = (("ann", "root/eo"), ("bob", "root/eo"), ("eve", "root/others"))


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Serve a folder as S3, by rclone."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "rclone"), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}",
        "--auth-key", f"{ACCESS},{SECRET}", "--config", "/dev/null", "--vfs-cache-mode", "off",
    ]  # fmt: skip
    with (folder.parent / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(400):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                threading.Event().wait(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(10)


@contextmanager
def s3_client(endpoint: str) -> Iterator[Any]:
    """Give a boto3 client, as the Tutorial makes it."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    try:
        yield client
    finally:
        client.close()


def listed(endpoint: str, bucket: str, prefix: str = "") -> dict[str, int]:
    """List a bucket by the paginator, as the Tutorial does."""
    with s3_client(endpoint) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}


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
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            if self.gate is not None:
                self.gate.set()
            await runner.cleanup()

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


@dataclass
class World:
    """All that outlives a gateway: its state folder, the sites, S3 and what is outside."""

    folder: Path
    hub: str
    s3: str
    bucket: str
    outside: Outside
    policies: tuple[Policy, ...] = ()
    port: int = field(default_factory=free_port)
    hook: dict[str, Any] = field(default_factory=dict)
    harvest: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Return the gateway's configuration."""
        write, keys = self._secret("write", "w" * 20), self._storage()
        edge = SiteSettings(
            id="edge-a",
            kind="edge",
            catalogue=CatalogueSettings(url=self.hub, write_token=write),
            storage=StorageSettings(endpoint=self.s3, bucket=self.bucket, **keys),
            asset_origins=(self.outside.url,),
        )
        team = StorageSettings(endpoint=self.s3, bucket=f"{self.bucket}-team", **keys)
        out = self.outside.url
        hook = HookSettings(
            **{
                "sources": (
                    HookSource(url=f"{out}/stac", token_urls=(f"{out}/auth",)),
                    HookSource(url=f"{out}/csc", token_urls=(f"{out}/auth",)),
                ),
                "outputs": (HookOutput(url=self.s3),),
                "at_once": 3,
            }
            | self.hook
        )
        return Settings(
            sites=(edge,),
            server=ServerSettings(port=self.port, state=str(self.folder / "state"), shutdown_seconds=0.5),
            auth=AuthSettings(tokens=tuple(self._token(*each) for each in USERS)),
            limits=LimitSettings(probe_seconds=3600.0),
            quotas=QuotaSettings(policies=self.policies),
            harvest=HarvestSettings(
                **{
                    "workers": 2,
                    "idle_seconds": 0.1,
                    "pause_seconds": 0.1,
                    "attempts": 2,
                    "claim_seconds": 2.0,
                    "buckets": (PrivateBucket(name="team", group="root/eo", storage=team),),
                    "hook": hook,
                }
                | self.harvest
            ),
        )

    def _storage(self) -> dict[str, Secret]:
        return {"access_key": self._secret("access", ACCESS), "secret_key": self._secret("secret", SECRET)}

    def _secret(self, name: str, value: str) -> Secret:
        path = self.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(value)
        return Secret(file=str(path))

    def _token(self, user: str, group: str) -> ApiTokenSettings:
        token = self._secret(f"token-{user}", f"token-of-{user}")
        return ApiTokenSettings(user=user, token=token, groups=(group,))

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator["Hook"]:
        """Run a gateway; give a client of ann's."""
        async with running_gateway(self.settings()) as url:
            with Hook(url, "ann") as client:
                yield client


class Hook:
    """A client as the Tutorial's notebook is: requests, in a thread."""

    def __init__(self, url: str, user: str) -> None:
        self.root = f"{url}/odata/v1/"
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer token-of-{user}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *end: object) -> None:
        self.session.close()

    def other(self, user: str) -> "Hook":
        return Hook(self.url, user)

    async def get(self, path: str, **options: Any) -> requests.Response:
        return await asyncio.to_thread(self.session.get, self.root + path, timeout=30, **options)

    async def post(self, path: str, body: Any) -> requests.Response:
        """Post as the Tutorial does: a text, and so without a Content-Type."""
        return await asyncio.to_thread(self.session.post, self.root + path, data=json.dumps(body), timeout=30)

    async def order(self, **changes: Any) -> int:
        made = await self.post("BatchOrder/OData.CSC.Order", order(**changes))
        assert made.status_code == 201, made.text
        return int(made.json()["value"]["Id"])

    async def ended(self, number: int, seconds: float = 20.0) -> dict[str, Any]:
        """Poll as the Tutorial does, until the order is neither queued nor in progress."""
        return await self.until(number, lambda told: told["Status"] not in ("queued", "in_progress"), seconds)

    async def until(self, number: int, wanted: Callable[[Any], bool], seconds: float = 20.0) -> dict[str, Any]:
        for _ in range(int(seconds / 0.05)):
            told = (await self.get(f"ProductionOrders?$filter=id eq {number}")).json()["value"][0]
            if wanted(told):
                return dict(told)
            await asyncio.sleep(0.05)
        raise AssertionError(told)

    async def products(self, number: int) -> list[dict[str, Any]]:
        return list((await self.get(f"BatchOrder({number})/Products")).json()["value"])


DESP = {
    "source_type": "DESP",
    "desp_source_username": "ann@example.org",
    "desp_source_password": DESP_PASSWORD,
    "desp_source_collection": COLLECTION,
}


def external(outside: Outside, kind: str = "STAC", **changes: str) -> dict[str, str]:
    return {
        "source_type": "EXTERNAL",
        "source_catalogue_api_url": f"{outside.url}/{'stac' if kind == 'STAC' else 'csc'}",
        "source_catalogue_api_type": kind,
        "source_token_url": f"{outside.url}/auth/token",
        "source_grant_type": "PASSWORD",
        "source_auth_header_name": "Authorization",
        "source_username": "ann@outside",
        "source_password": PASSWORD,
        "source_client_id": "public",
        "source_client_secret": CLIENT_SECRET,
        **({"source_catalogue_collection": COLLECTION} if kind == "STAC" else {}),
        **changes,
    }


def own_bucket(world: World, folder: str = "mine/2023", **changes: str) -> dict[str, str]:
    return {
        "output_storage": "PRIVATE",
        "output_s3_access_key": ACCESS,
        "output_s3_secret_key": SECRET,
        "output_s3_path": f"s3://{world.bucket}-own/{folder}",
        "output_s3_endpoint_url": world.s3,
        **changes,
    }


def order(
    source: dict[str, str] | None = None,
    output: dict[str, str] | None = None,
    identifiers: tuple[str, ...] = (SCENE,),
    **members: Any,
) -> dict[str, Any]:
    """Return an order as the Tutorial sends it."""
    options = (output or {"output_storage": "TEMPORARY"}) | (source or DESP)
    return {
        "Name": "Tutorial data-harvest - ann",
        "WorkflowName": "data-harvest",
        "IdentifierList": list(identifiers),
        "WorkflowOptions": [{"Name": name, "Value": value} for name, value in options.items()],
        **members,
    }


@contextlib.contextmanager
def told_logs() -> Iterator[list[str]]:
    """Collect everything that is logged, with all its fields."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.__dict__!r}")

    collector = Collector(level=logging.DEBUG)
    root = logging.getLogger()
    before = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(before)
        root.removeHandler(collector)


def bytes_below(folder: Path) -> bytes:
    """Return all bytes of a folder's files."""
    found = [Path(at) / name for at, _, names in os.walk(folder) for name in names]
    return b"\n".join(path.read_bytes() for path in found)
