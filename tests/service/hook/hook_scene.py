"""A small world for HOOK's clients: a gateway over one edge, real S3, and catalogues outside that want credentials."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
from free_ports import free_port
from hook_outside import (
    CLIENT_SECRET,
    COLLECTION,
    DESP_PASSWORD,
    PASSWORD,
    SCENE,
    Outside,
)
from s3_bucket import ACCESS, SECRET, s3_client
from waiting import until

from edges.settings import CatalogueSettings, Secret, SiteSettings, StorageSettings
from gateway.app import running_gateway
from gateway.settings import ApiTokenSettings, AuthSettings, LimitSettings, QuotaSettings, ServerSettings, Settings
from harvest.settings import HarvestSettings, HookOutput, HookSettings, HookSource, PrivateBucket
from quotas.model import Policy

USERS = (("ann", "root/eo"), ("bob", "root/eo"), ("eve", "root/others"))


def listed(endpoint: str, bucket: str, prefix: str = "") -> dict[str, int]:
    """List a bucket by the paginator, as the Tutorial does."""
    with s3_client(endpoint) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}


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
    database: str = ""
    state: str = "state"

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
        database = self._secret("database", self.database) if self.database else None
        return Settings(
            sites=(edge,),
            server=ServerSettings(port=self.port, state=str(self.folder / self.state), shutdown_seconds=0.5),
            auth=AuthSettings(
                tokens=tuple(self._token(*each) for each in USERS),
                signing_key=self._secret("signing", "k" * 40) if self.database else None,
            ),
            limits=LimitSettings(probe_seconds=3600.0),
            quotas=QuotaSettings(policies=self.policies, database=database),
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
        async def told() -> dict[str, Any] | None:
            found = (await self.get(f"ProductionOrders?$filter=id eq {number}")).json()["value"][0]
            return found if wanted(found) else None

        return await until(told, seconds=seconds, what=f"order {number}")

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
