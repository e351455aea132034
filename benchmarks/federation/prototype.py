"""The best technique without a gateway around it: what the rest of a search costs is measured beside this.

``python -m benchmarks.federation.prototype --port 7000 http://127.0.0.1:7001 ...`` asks every site for its fair
share, merges by datetime, writes links anew, and answers ``/search?limit=``. It checks nothing: no query, no order, no
user, no time-outs, no bounds, no unsafe bytes. ``/together?limit=`` does not even merge: it gives as many bytes of the
same pages as a merged page has, which is what fetching and sending alone cost in this language.
"""

import argparse
import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence

import aiohttp
import msgspec
from aiohttp import web

from gateway.search.plan import fair_share

Members = dict[str, msgspec.Raw]
Ranked = tuple[str, int, Members]


class _Page(msgspec.Struct):
    features: list[Members]


class _Times(msgspec.Struct):
    datetime: str


_PAGE = msgspec.json.Decoder(_Page)
_TIMES = msgspec.json.Decoder(_Times)
_TEXT = msgspec.json.Decoder(str)
_LINKS = msgspec.json.Decoder(list[Members])
_OWN = frozenset({b'"self"', b'"parent"', b'"collection"', b'"root"'})


def merged(pages: Sequence[bytes], *, limit: int, base: str) -> bytes:
    """Return the newest items of all pages, as one page."""
    streams = [_ranked(number, content) for number, content in enumerate(pages)]
    newest = itertools.islice(heapq.merge(*streams, key=lambda each: each[0], reverse=True), limit)
    features = [_own(item, base) for _, _, item in newest]
    return msgspec.json.encode({"type": "FeatureCollection", "features": features, "links": []})


def _ranked(number: int, content: bytes) -> Iterator[Ranked]:
    for item in _PAGE.decode(content).features:
        yield _TIMES.decode(item["properties"]).datetime, number, item


def _own(item: Members, base: str) -> Members:
    home = f"{base}/collections/{_TEXT.decode(item['collection'])}"
    own = [
        {"rel": "self", "href": f"{home}/items/{_TEXT.decode(item['id'])}"},
        {"rel": "parent", "href": home},
        {"rel": "collection", "href": home},
        {"rel": "root", "href": base},
    ]
    kept = [link for link in _LINKS.decode(item["links"]) if bytes(link["rel"]) not in _OWN]
    item["links"] = msgspec.Raw(msgspec.json.encode([*own, *kept]))
    return item


class Prototype:
    """Serves ``/search`` over sites, by their URLs."""

    def __init__(self, *, sites: Sequence[str], base: str) -> None:
        self._sites = sites
        self._base = base
        self._session: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.cleanup_ctx.append(self._running)
        app.add_routes([web.get("/search", self._search), web.get("/together", self._together)])
        return app

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            yield

    async def _search(self, request: web.Request) -> web.Response:
        body = merged(await self._pages(request), limit=int(request.query["limit"]), base=self._base)
        return web.Response(body=body, content_type="application/geo+json")

    async def _together(self, request: web.Request) -> web.Response:
        limit, pages = int(request.query["limit"]), await self._pages(request)
        parts = limit / (len(pages) * fair_share(limit + 1, len(pages)))
        body = b"".join(page[: int(len(page) * parts)] for page in pages)
        return web.Response(body=body, content_type="application/octet-stream")

    async def _pages(self, request: web.Request) -> list[bytes]:
        limit = int(request.query["limit"])
        asked = {
            "limit": fair_share(limit + 1, len(self._sites)),
            "sortby": [{"field": "datetime", "direction": "desc"}],
            "datetime": request.query.get("datetime"),
        }
        return await asyncio.gather(*(self._page(f"{site}/search", asked) for site in self._sites))

    async def _page(self, url: str, asked: object) -> bytes:
        if self._session is None:
            raise RuntimeError("the application does not run")
        async with self._session.post(url, json=asked) as response:
            return await response.read()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("sites", nargs="+")
    arguments = parser.parse_args()
    front = Prototype(sites=arguments.sites, base=f"http://127.0.0.1:{arguments.port}")
    web.run_app(front.application(), host="127.0.0.1", port=arguments.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
