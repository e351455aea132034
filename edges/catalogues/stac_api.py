"""Any STAC API (1.0.0) as a :class:`edges.seams.Catalogue`.

Paging dialects (token, page, offset, cursor, GET or POST, ``merge`` true or false) are all followed as links,
after the link was checked: a next link leads to the same origin and base path, or the walk ends with an error.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from edges.catalogues.stac_aggregation import aggregate_body, aggregates_of, read_answer
from edges.catalogues.stac_writing import StacWriting, refused
from edges.errors import SiteMisbehaved
from edges.lines.lines import Lines
from edges.model import Batch, Bytes, Capabilities, Json, Members, Query
from edges.next_links import followed
from edges.observing import CallObserver
from edges.settings import CatalogueSettings
from edges.site_http import Ask, SiteHttp
from edges.stac.aggregation import Tally, Wanted
from edges.stac.free_text import FREE_TEXT_CLASS
from edges.stac.item_pages import DecodeErrors, Frame, PageLink, read_page
from edges.stac.links import QUERYABLES_REL
from edges.stac.queryables import MAX_BYTES, read_queryables
from edges.stac.request import query_to_post

_MAX_COLLECTION_PAGES = 200
_NO_HEADERS: Mapping[str, str] = {}
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,1024}")
_OUR_HEADERS = (
    "accept", "authorization", "connection", "content-", "cookie", "forwarded", "host", "proxy-", "trailer",
    "transfer-", "upgrade", "x-forwarded",
)  # fmt: skip
_MAX_COLLECTIONS = 20_000
_QUERYABLES = (QUERYABLES_REL, "queryables")
_MAX_POSITION = 2 << 20
"""Longest next link with its body: a search of ours may weigh 1 MiB, and comes back in it."""
T = TypeVar("T")


class _Position(msgspec.Struct, forbid_unknown_fields=True):
    """Where the following page is: a request to a URL below our base."""

    href: str
    method: str = "GET"
    body: dict[str, Any] | None = None
    headers: dict[str, str] = {}


class _Landing(msgspec.Struct):
    conformsTo: list[str] = []  # noqa: N815 - the name on the wire
    links: list[PageLink] = []


class _Collections(msgspec.Struct):
    collections: list[dict[str, Any]]
    links: list[PageLink] = []


_POSITION = msgspec.json.Decoder(_Position)
_LANDING = msgspec.json.Decoder(_Landing)
_COLLECTIONS = msgspec.json.Decoder(_Collections)
_ITEM = msgspec.json.Decoder(Members)


class StacApiCatalogue:
    """A site's STAC API. Implements :class:`edges.seams.WritableCatalogue` where the site has Transactions."""

    def __init__(
        self,
        *,
        site: str,
        settings: CatalogueSettings,
        session: aiohttp.ClientSession,
        lines: Lines | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        self._site = site
        self._http = SiteHttp(site=site, settings=settings, session=session, lines=lines, observer=observer)
        self._base = URL(settings.url.rstrip("/"))
        self._queryables = ""
        self._search_url = f"{self._base}/search"
        self._read_headers = _bearer(settings.token.reveal()) if settings.token else {}
        self._body_headers = {**self._read_headers, "Content-Type": "application/json"}
        writes = _bearer(settings.write_token.reveal()) if settings.write_token else {}
        self._writing = StacWriting(site=site, http=self._http, base=str(self._base), headers=writes)

    async def capabilities(self) -> Capabilities:
        """Read the landing page's conformance classes; leniently, since real ones mix versions."""
        landing = _decoded(self._site, _LANDING, await self._fetch("GET", str(self._base)))
        told = next((link.href for link in landing.links if link.rel in _QUERYABLES), "")
        self._queryables = ""
        with contextlib.suppress(SiteMisbehaved):  # what leads elsewhere is not asked
            self._queryables = self._checked(told, f"{self._base}/") if told else ""
        return _capabilities(landing)

    async def search(self, query: Query, *, limit: int, after: str | None = None) -> Batch:
        """Search by POST, as every STAC API that we federate can."""
        if after is None:
            body = query_to_post(query)
            body["limit"] = limit
            asked = _Position(href=self._search_url, method="POST", body=body)
        else:
            asked = _POSITION.decode(after)
        answer = await self._fetch(asked.method, asked.href, asked.body, headers=asked.headers)
        items, frame = read_page(self._site, answer or b"")
        return Batch(items=items, next=self._next(frame, asked), matched=_matched(frame))

    async def aggregate(self, query: Query, wanted: Wanted) -> Tally:
        """Let the site count (Aggregation v0.3.0); see :class:`edges.catalogues.aggregating.Aggregating`."""
        body = aggregate_body(query, wanted)
        return read_answer(await self._fetch("POST", f"{self._base}/aggregate", body) or b"", wanted)

    async def queryables(self) -> Json:
        """Return what the site says that its items can be asked for (``edges.catalogues.describing``)."""
        if not self._queryables:
            return {}
        ask = Ask(method="GET", url=self._queryables, headers=self._read_headers, limit=MAX_BYTES)
        answer = await self._http.fetch(ask)
        return read_queryables(answer.body) if answer.status < 300 else {}

    async def collections(self) -> list[Json]:
        """Return all collections, over all pages."""
        found: list[Json] = []
        seen: set[str] = set()
        href: str | None = f"{self._base}/collections"
        while href is not None and href not in seen and len(seen) < _MAX_COLLECTION_PAGES:
            seen.add(href)
            page = _decoded(self._site, _COLLECTIONS, await self._fetch("GET", href))
            found += page.collections
            if len(found) > _MAX_COLLECTIONS:
                raise SiteMisbehaved(self._site, f"it tells of more than {_MAX_COLLECTIONS} collections")
            link = next((link for link in page.links if link.rel == "next"), None)
            href = self._checked(link.href, href) if link is not None else None
        return found

    async def item(self, collection: str, item_id: str) -> Members | None:
        """Return one item as the site's own bytes."""
        body = await self._fetch("GET", self._item_url(collection, item_id), missing_ok=True)
        return None if body is None else _decoded(self._site, _ITEM, body)

    async def put_collection(self, collection: Json) -> None:
        """Create or replace a collection (Collection Transaction extension)."""
        await self._writing.put_collection(collection)

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        """Create or replace items (Transaction extension): see :meth:`edges.catalogues.stac_writing.StacWriting`."""
        await self._writing.put_items(collection, items)

    async def delete_item(self, collection: str, item_id: str) -> bool:
        """Delete an item; a missing one is not an error."""
        return await self._writing.delete_item(collection, item_id)

    async def delete_collection(self, collection: str) -> bool:
        """Remove a collection (Collection Transaction extension); a missing one is not an error."""
        return await self._writing.delete_collection(collection)

    def _item_url(self, collection: str, item_id: str) -> str:
        return f"{self._base}/collections/{quote(collection, safe='')}/items/{quote(item_id, safe='')}"

    def _next(self, page: Frame, asked: _Position) -> str | None:
        link = next((link for link in page.links if link.rel == "next"), None)
        if link is None:
            return None
        href = self._checked(link.href, asked.href)
        post = link.method.upper() == "POST"
        body = {**(asked.body or {} if link.merge else {}), **(link.body or {})} if post else None
        headers = _passed_on(link.headers) if link.headers else {}
        position = msgspec.json.encode(
            _Position(href=href, method="POST" if post else "GET", body=body, headers=headers)
        )
        if len(position) > _MAX_POSITION:
            raise SiteMisbehaved(self._site, f"its next link is longer than {_MAX_POSITION} bytes")
        return position.decode()

    def _checked(self, href: str, asked: str) -> str:
        """Refuse a link that leaves the site: it would carry our credentials to a stranger."""
        return followed(self._site, self._base, href, asked=asked)

    async def _fetch(
        self,
        method: str,
        href: str,
        body: Json | None = None,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        missing_ok: bool = False,
    ) -> Bytes | None:
        own = self._read_headers if body is None else self._body_headers
        content = msgspec.json.encode(body) if body is not None else None
        ask = Ask(method=method, url=href, body=content, headers={**headers, **own} if headers else own)
        answer = await self._http.fetch(ask)
        if answer.status == 404 and missing_ok:
            return None
        if answer.status >= 300:
            raise refused(self._site, answer.status, answer.body)
        return answer.body


def _passed_on(told: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a next link that go with the request: short texts, and none that we set ourselves."""
    plain = {name.lower(): value for name, value in told.items() if isinstance(value, str)}
    return {
        name: value
        for name, value in plain.items()
        if _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) and not name.startswith(_OUR_HEADERS)
    }


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _decoded(site: str, decoder: "msgspec.json.Decoder[T]", content: Bytes | None) -> T:
    try:
        return decoder.decode(content or b"")
    except DecodeErrors as error:
        raise SiteMisbehaved(site, f"answer is not what STAC says: {error}") from error


def _matched(page: Frame) -> int | None:
    if page.numberMatched is not None:
        return page.numberMatched
    matched = (page.context or {}).get("matched")
    return matched if isinstance(matched, int) else None


def _capabilities(landing: _Landing) -> Capabilities:
    classes = [uri.lower() for uri in landing.conformsTo]

    def has(*needles: str) -> bool:
        return any(all(needle in uri for needle in needles) for uri in classes)

    return Capabilities(
        filter=has("item-search#filter") and has("cql2-json"),
        sort=has("item-search#sort"),
        fields=has("item-search#fields"),
        text=has(FREE_TEXT_CLASS),
        transaction=has("ogcapi-features/extensions/transaction"),
        aggregates=aggregates_of(landing.conformsTo),
    )
