"""One group whose quotas are all taken, at every face of a whole gateway: each refuses, and explains."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from compute_edges import RealKernelEdge
from served_app import served
from whole_lake import COLLECTION, TOKEN, whole_lake, written

from edges.settings import KernelSettings, OrderSettings, Secret, StorageSettings
from gateway.settings import QuotaSettings, Settings
from harvest.settings import HarvestSettings, HookSettings
from quotas.model import Charge, Line, Policy
from quotas.sqlite import SqliteLedger

pytestmark = pytest.mark.service

EDGE, CONTACT = "edge-a", "ops@lake.example"
HELD, SPENT = ("clusters", "kernels"), ("items", "egress_bytes", "harvest_bytes", "hook_orders", "data_orders")
OF_ITS_EDGE = ("egress_bytes", "harvest_bytes")
HOOK = {
    "output_storage": "TEMPORARY",
    "source_type": "DESP",
    "desp_source_username": "ann@example.org",
    "desp_source_password": "not-a-real-password",
    "desp_source_collection": COLLECTION,
}
ORDER = {
    "Name": "an order",
    "WorkflowName": "data-harvest",
    "IdentifierList": ["0"],
    "WorkflowOptions": [{"Name": name, "Value": value} for name, value in HOOK.items()],
}
SEARCH = {"collections": [COLLECTION], "limit": 10}
HARVEST = {"inputs": {"target": EDGE, "collections": [COLLECTION]}}
FACES = {
    # face: what is limited; how to ask; the status; where its client finds the words
    "search": ("items", "POST", "/search", SEARCH, 429, ("detail",)),
    "export": ("items", "POST", "/search/export", SEARCH, 429, ("detail",)),
    "export of a catalogue": ("items", "GET", f"/catalogs/{EDGE}/search/export", None, 429, ("detail",)),
    "HDA search": ("items", "POST", "/stac/v2/search", SEARCH, 429, ("description",)),
    "HDA order": (
        "data_orders",
        "POST",
        f"/stac/v2/collections/{COLLECTION}/order",
        {"variable": ["t2m"]},
        429,
        ("description",),
    ),
    "download": ("egress_bytes", "GET", f"/data/{EDGE}/{COLLECTION}/0/h", None, 429, ("detail",)),
    "Dask": ("clusters", "POST", "/api/v1/clusters/", {"cluster_options": {"edge": EDGE}}, 422, ("error",)),
    "Jupyter": ("kernels", "POST", "/api/kernels", {"name": f"python3.{EDGE}"}, 429, ("message",)),
    "harvest": ("harvest_bytes", "POST", "/processes/harvest/execution", HARVEST, 429, ("detail",)),
    "HOOK": ("hook_orders", "POST", "/odata/v1/BatchOrder/OData.CSC.Order", ORDER, 429, ("error", "message")),
}
AMOUNTS = dict.fromkeys((*HELD, *SPENT), 4.0) | {"items": 9.0, "egress_bytes": 1_000.0, "harvest_bytes": 1_000.0}


def policies() -> tuple[Policy, ...]:
    held = [Policy(name=f"tight-{name}", group="eo", resource=name, kind="concurrent", amount=4) for name in HELD]
    spent = [
        Policy(
            name=f"tight-{name}",
            group="eo",
            resource=name,
            kind="window",
            window_seconds=86_400,
            amount=max(AMOUNTS[name], 2_000_000.0 if name in OF_ITS_EDGE else 10.0),
        )
        for name in SPENT
    ]
    return tuple(msgspec.structs.replace(each, contact=CONTACT) for each in (*held, *spent))


async def take_all(file: Path, policies: tuple[Policy, ...]) -> None:
    """Let another user of the group take all that there is: a part spent, where that can be, and the rest reserved."""
    charge = Charge(group="eo", user="bob")
    async with SqliteLedger(file, policies) as ledger:
        for policy in policies:
            spent = policy.amount // 4 if policy.resource in SPENT else 0.0
            for key, amount in (("spent", spent), ("reserved", policy.amount - spent)):
                if amount:
                    line = Line(resource=policy.resource, amount=amount, edge=EDGE)
                    lease = f"{key}-{policy.resource}"
                    await ledger.reserve(lease, charge, [line], ttl=3_600, why="before")
                    if key == "spent":
                        await ledger.commit(lease)


@asynccontextmanager
async def origin() -> AsyncIterator[str]:
    async def body(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_000)

    app = web.Application()
    app.add_routes([web.get("/x", body)])
    async with served(app) as url:
        yield url


def whole(settings: Settings, *, kernels: RealKernelEdge, url: str, folder: Path) -> Settings:
    """Return the settings with every face on."""
    secret = Secret(file=str(written(folder / "a-secret", "w" * 20)))
    token = Secret(file=str(written(folder / "kernels", kernels.token)))
    storage = StorageSettings(endpoint="http://127.0.0.1:9", bucket="b", access_key=secret, secret_key=secret)
    sites = tuple(
        msgspec.structs.replace(
            site,
            storage=storage,
            kernels=KernelSettings(url=kernels.url, token=token),
            orders=OrderSettings(),
            asset_origins=(url,),
            catalogue=msgspec.structs.replace(site.catalogue, write_token=secret),
        )
        if site.id == EDGE
        else site
        for site in settings.sites
    )
    return msgspec.structs.replace(
        settings,
        sites=sites,
        quotas=QuotaSettings(policies=policies()),
        harvest=HarvestSettings(hook=HookSettings()),
    )


async def test_every_face_refuses_what_is_taken_and_tells_all_about_it(dask_edges, kernel_edges, tmp_path) -> None:
    async with origin() as url:
        changed = partial(whole, kernels=kernel_edges[EDGE], url=url, folder=tmp_path)
        assets = {"h": {"href": f"{url}/x", "file:size": 1_000}}
        written(tmp_path / "gateway" / "made", "")
        await take_all(tmp_path / "gateway" / "quotas.sqlite", policies())
        held = {"edge-a": range(3), "edge-b": range(3, 6)}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            whole_lake(dask_edges, held, tmp_path, assets=assets, changed=changed) as base,
            aiohttp.ClientSession(base, headers=headers) as session,
        ):
            wrong = {}
            for face in FACES:
                if missing := await untold(session, face):
                    wrong[face] = missing
            assert wrong == {}


async def untold(session: aiohttp.ClientSession, face: str) -> list[str]:
    """Ask a face; return what its refusal does not tell: in words, to programs, and in headers."""
    resource, method, path, body, expected, words = FACES[face]
    async with session.request(method, path, json=body) as response:
        text = await response.text()
        if response.status != expected or not text:
            return [f"{response.status}: {text[:600]}"]
        answer = json.loads(text)
        again = response.headers.get("Retry-After", "")
    said = answer
    for name in words:
        said = said[name]
    limit = next(policy.amount for policy in policies() if policy.resource == resource)
    spent = limit // 4 if resource in SPENT else 0
    taken = f"({spent:g} used, {limit - spent:g} reserved)"
    facts = [f"'tight-{resource}' of group eo", f"of {limit:g}", "requested", taken, CONTACT, "fits again in"]
    if resource in HELD:
        facts.append(f"held now: bob {limit:g}")
    missing = [fact for fact in facts if fact not in said]
    if not (again.isdigit() and 0 < int(again) <= 86_400 + 1_500):
        missing.append(f"Retry-After: {again!r}")
    return missing if face.startswith("HDA") else [*missing, *unnumbered(answer, resource, limit)]


def unnumbered(answer: Any, resource: str, limit: float) -> list[str]:
    """Return which numbers programs do not find; HDA's shape has no place for them."""
    holder = answer if "violated-policies" in answer else answer.get("error", {})
    holder = holder if "violated-policies" in holder else holder.get("innererror", {})
    told = [each for each in holder.get("violated-policies", []) if each["policy"] == f"tight-{resource}"]
    if len(told) != 1:
        return [f"violated-policies: {answer}"[:600]]
    wanted = {"group": "eo", "limit": limit, "contact": CONTACT, "resource": resource}
    if resource in HELD:
        wanted["holders"] = {"visible": [{"group": "eo", "user": "bob", "amount": limit}], "others": 0}
    return [f"{name}: {told[0].get(name)}" for name, value in wanted.items() if told[0].get(name) != value]
