"""A STAC API whose answers cost next to nothing: what remains of a search's time is the gateway's.

``python -m benchmarks.federation.dumb_site --site 0 --port 7001 --items 3000 --delay 0.1``. It sorts, pages by token,
and keeps ids and datetime intervals; items are encoded once.
"""

import argparse
import asyncio
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from benchmarks.federation.items import COLLECTION, item

CONFORMANCE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]


class DumbSite:
    """Holds the items of one site, encoded, in every order that was asked for."""

    def __init__(self, *, site: int, count: int, delay_seconds: float, base: str) -> None:
        self._items = [item(site, number) for number in range(count)]
        self._encoded = [msgspec.json.encode(each) for each in self._items]
        self._delay = delay_seconds
        self._base = base
        self._page = lru_cache(maxsize=256)(self._encode_page)
        self._ordered = lru_cache(maxsize=32)(self._order)

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._landing),
                web.get("/conformance", self._conformance),
                web.get("/collections", self._collections),
                web.get(f"/collections/{COLLECTION}", self._collection),
                web.get("/queryables", self._queryables),
                web.get(f"/collections/{COLLECTION}/queryables", self._queryables),
                web.get("/search", self._search),
                web.post("/search", self._search),
            ]
        )
        return app

    async def _landing(self, request: web.Request) -> web.Response:
        links = [
            {"rel": "self", "href": self._base, "type": "application/json"},
            {"rel": "root", "href": self._base, "type": "application/json"},
            {"rel": "data", "href": f"{self._base}/collections", "type": "application/json"},
            {"rel": "conformance", "href": f"{self._base}/conformance", "type": "application/json"},
            {"rel": "search", "href": f"{self._base}/search", "type": "application/geo+json", "method": "GET"},
            {"rel": "search", "href": f"{self._base}/search", "type": "application/geo+json", "method": "POST"},
        ]
        return web.json_response(
            {
                "type": "Catalog", "id": "dumb", "stac_version": "1.0.0", "description": "A site for benchmarks",
                "conformsTo": CONFORMANCE, "links": links,
            }
        )  # fmt: skip

    async def _conformance(self, request: web.Request) -> web.Response:
        return web.json_response({"conformsTo": CONFORMANCE})

    def _described(self) -> dict[str, Any]:
        return {
            "type": "Collection", "id": COLLECTION, "stac_version": "1.0.0", "description": "Synthetic scenes",
            "license": "other", "links": [],
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        }  # fmt: skip

    async def _collections(self, request: web.Request) -> web.Response:
        return web.json_response({"collections": [self._described()], "links": []})

    async def _collection(self, request: web.Request) -> web.Response:
        return web.json_response(self._described())

    async def _queryables(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": f"{self._base}{request.path}",
                "type": "object",
                "properties": {"datetime": {"type": "string", "format": "date-time"}},
                "additionalProperties": True,
            }
        )

    async def _search(self, request: web.Request) -> web.Response:
        asked = await request.json() if request.method == "POST" else dict(request.query)
        if self._delay:
            await asyncio.sleep(self._delay)
        if asked.get("ids"):
            return web.Response(body=self._named(list(asked["ids"])), content_type="application/geo+json")
        body = self._page(_sortby(asked.get("sortby")), asked.get("datetime"), asked.get("token"), int(asked["limit"]))
        return web.Response(body=body, content_type="application/geo+json")

    def _named(self, ids: list[str]) -> bytes:
        wanted = frozenset(ids)
        members = [raw for each, raw in zip(self._items, self._encoded, strict=True) if each["id"] in wanted]
        return b'{"type":"FeatureCollection","features":[' + b",".join(members) + b'],"links":[]}'

    def _encode_page(self, order: tuple[str, ...], datetime: str | None, token: str | None, limit: int) -> bytes:
        ordered = self._ordered(order, datetime)
        start = int(token) if token else 0
        members = b",".join(self._encoded[number] for number in ordered[start : start + limit])
        links = []
        if start + limit < len(ordered):
            following = {"token": str(start + limit), "limit": limit}
            href = f"{self._base}/search"
            links = [{"rel": "next", "href": href, "method": "POST", "body": following, "merge": True}]
        return b'{"type":"FeatureCollection","features":[' + members + b'],"links":' + msgspec.json.encode(links) + b"}"

    def _order(self, order: tuple[str, ...], datetime: str | None) -> list[int]:
        numbers = list(range(len(self._items)))
        for field in reversed(order):  # a stable sort per field, the last one first
            name, descending = field.lstrip("+-").removeprefix("properties."), field.startswith("-")
            values = [_value(each, name) for each in self._items]
            numbers.sort(key=values.__getitem__, reverse=descending)
        if datetime is None:
            return numbers
        first, _, last = datetime.partition("/")
        return [n for n in numbers if _within(_value(self._items[n], "datetime"), first, last)]


def _within(moment: str, first: str, last: str) -> bool:
    return (first in ("", "..") or moment >= first[:19]) and (last in ("", "..") or moment[:19] <= last[:19])


def _value(content: dict[str, Any], name: str) -> str:
    return str(content[name] if name in content else content["properties"][name])


def _sortby(asked: Any) -> tuple[str, ...]:
    if not asked:
        return ("-datetime", "collection", "id")
    if isinstance(asked, str):
        return tuple(asked.split(","))
    return tuple(("-" if each.get("direction") == "desc" else "") + each["field"] for each in asked)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--items", type=int, default=3_000)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each search is answered")
    arguments = parser.parse_args()
    site = DumbSite(
        site=arguments.site,
        count=arguments.items,
        delay_seconds=arguments.delay,
        base=f"http://127.0.0.1:{arguments.port}",
    )
    web.run_app(site.application(), host="127.0.0.1", port=arguments.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
