"""A provider that speaks OData v4 as the Copernicus data space does: what EODAG's definition of it asks and reads."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from served_app import served

_START = datetime(2024, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"Collection/Name eq '([^']*)'")
_TYPE = re.compile(r"'productType' and att/OData.CSC.StringAttribute/Value eq '([^']*)'")
_BEFORE = re.compile(r"ContentDate/Start lt (\S+?)(?: |$|\))")
_AFTER = re.compile(r"ContentDate/End gt (\S+?)(?: |$|\))")
_ID = re.compile(r"contains\(Name,'([^']*)'\)")


def product(n: int, kind: str = "S2MSI1C", *, online: bool = True, day: int | None = None) -> dict[str, Any]:
    """Return product n, of day n where no other is given."""
    moment = (_START + timedelta(days=n if day is None else day)).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    name = f"S2A_{kind}_2024{n:04}.SAFE"
    attributes = {
        "productType": kind,
        "platformShortName": "SENTINEL-2",
        "platformSerialIdentifier": "A",
        "cloudCover": n,
    }
    return {
        "Id": f"00000000-0000-0000-0000-{n:012}",
        "Name": name,
        "ContentLength": 1_000 + n,
        "PublicationDate": moment,
        "ModificationDate": moment,
        "Online": online,
        "S3Path": f"/eodata/{name}",
        "Checksum": [],
        "ContentDate": {"Start": moment, "End": moment},
        "Footprint": f"geography'SRID=4326;POLYGON (({n} 0, {n + 1} 0, {n + 1} 1, {n} 1, {n} 0))'",
        "GeoFootprint": None,
        "Attributes": [{"Name": key, "Value": value} for key, value in attributes.items()],
        "Assets": [],
    }


class ODataProvider:
    """Answers ``GET /Products`` with ``$filter``, ``$orderby``, ``$top`` and ``$skip``; can be told to fail."""

    def __init__(self, products: Sequence[dict[str, Any]]) -> None:
        self.products = list(products)
        self.filters: list[str] = []
        self.failure: web.Response | None = None
        self.gate: asyncio.Event | None = None
        self.url = ""

    async def search(self, request: web.Request) -> web.StreamResponse:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            return web.Response(status=self.failure.status, body=self.failure.body)
        wanted = request.query.get("$filter", "")
        self.filters.append(wanted)
        found = [each for each in self.products if _matches(each, wanted)]
        order, _, direction = request.query.get("$orderby", "").partition(" ")
        if order:
            found.sort(key=lambda each: each["ContentDate"]["Start"], reverse=direction == "desc")
        top, skip = int(request.query.get("$top", "20")), int(request.query.get("$skip", "0"))
        page = {"@odata.context": "$metadata#Products", "value": found[skip : skip + top]}
        if len(found) > skip + top:
            following = {**request.query, "$skip": str(skip + top)}
            page["@odata.nextLink"] = f"{self.url}?{urlencode(following)}"  # with %24 for $, as the real one
        return web.json_response(page)


def _matches(one: dict[str, Any], wanted: str) -> bool:
    kinds, before, after = _TYPE.findall(wanted), _BEFORE.findall(wanted), _AFTER.findall(wanted)
    kind = next(each["Value"] for each in one["Attributes"] if each["Name"] == "productType")
    moment = datetime.fromisoformat(one["ContentDate"]["Start"])
    return (
        all(each == kind for each in kinds)
        and all(each == "SENTINEL-2" for each in _NAME.findall(wanted))
        and all(moment < datetime.fromisoformat(each) for each in before)
        and all(moment > datetime.fromisoformat(each) for each in after)
        and all(each in one["Name"] for each in _ID.findall(wanted))
    )


@asynccontextmanager
async def odata_provider(products: Sequence[dict[str, Any]]) -> AsyncIterator[ODataProvider]:
    """Serve products on a free port."""
    provider = ODataProvider(products)
    app = web.Application()
    app.router.add_get("/Products", provider.search)
    async with served(app) as url:
        provider.url = f"{url}/Products"
        try:
            yield provider
        finally:
            if provider.gate is not None:
                provider.gate.set()
