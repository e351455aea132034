"""Writing into a site over the STAC Transaction extensions: items together where the site can, else one by one.

Sources: STAC API Transaction 1.0.0-rc.3, Collection Transaction 1.0.0-beta.1. An ItemCollection can only be created
there; sites of ours take one by PUT as well, to create or replace its items, all or none.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

import msgspec

from edges.errors import EdgeError, NotFound, SiteMisbehaved, SiteUnavailable
from edges.excerpts import excerpt
from edges.model import Bytes, Json
from edges.retry import OVERLOADED
from edges.site_http import Ask, SiteHttp

MOST_TOGETHER = 60 << 20
"""Bytes of one ItemCollection: a site of ours takes 64 MiB."""
_UNABLE = frozenset({400, 405, 413, 415, 422, 501})
"""How sites answer that take single items only."""


class PartlyWritten(EdgeError):
    """A site that takes items one by one stopped within a batch; ``members`` say how far it came."""

    status: ClassVar[int] = 502
    title: ClassVar[str] = "A batch was written in part"

    def __init__(self, error: EdgeError, *, written: int, of: int) -> None:
        super().__init__(f"{error}; {written} of {of} items were written before, since the site takes them one by one")
        self.members: Json = {"written": written, "of": of}


class StacWriting:
    """Writes into one site. ``headers`` hold its credentials."""

    def __init__(self, *, site: str, http: SiteHttp, base: str, headers: Mapping[str, str]) -> None:
        self._site = site
        self._http = http
        self._base = base
        self._headers = headers
        self._alone: set[str] = set()
        """The methods by which the site takes single items only."""
        self._able = False
        """Whether the site has taken items together: then it means what it refuses."""

    async def put_collection(self, collection: Json) -> None:
        """Create or replace a collection."""
        if await self._write("POST", "/collections", collection) == 409:
            await self._write("PUT", _path(str(collection["id"])), collection)

    async def put_items(self, collection: str, items: Sequence[Json]) -> None:
        """Create or replace items.

        Raises:
            NotFound: the collection is not there.
            PartlyWritten: only some were written.
        """
        if len(items) > 1 and await self._together(collection, items):
            return
        for written, item in enumerate(items):
            try:
                await self._put_item(collection, item)
            except EdgeError as error:
                if written:
                    raise PartlyWritten(error, written=written, of=len(items)) from error
                raise

    async def delete_item(self, collection: str, item_id: str) -> bool:
        """Delete an item; tell whether it was there."""
        return await self._write("DELETE", _path(collection, item_id), None) != 404

    async def delete_collection(self, collection: str) -> bool:
        """Delete a collection; tell whether it was there."""
        return await self._write("DELETE", _path(collection), None) != 404

    async def _together(self, collection: str, items: Sequence[Json]) -> bool:
        """Write items as one ItemCollection; tell whether the site could."""
        body = msgspec.json.encode({"type": "FeatureCollection", "features": items})
        if len(body) > MOST_TOGETHER:
            return False
        for method in ("POST", "PUT"):
            if method in self._alone:
                return False
            status, answer = await self._asked(method, _items(collection), body)
            if status < 300:
                self._able = True
                return True
            if status == 404 and method == "POST":
                raise NotFound(f"{self._site}: there is no collection {collection!r}")
            if status != 409:  # some are there: only who replaces takes them
                if status not in (*_UNABLE, 404) or (self._able and status in (400, 422)):
                    raise refused(self._site, status, answer)
                if status in (405, 501) or method == "PUT":
                    self._alone.add(method)
                return False
        return False

    async def _put_item(self, collection: str, item: Json) -> None:
        if await self._write("POST", _items(collection), item) == 409:
            await self._write("PUT", _path(collection, str(item["id"])), item)

    async def _write(self, method: str, path: str, body: Json | None) -> int:
        status, answer = await self._asked(method, path, msgspec.json.encode(body) if body is not None else None)
        if status >= 300 and status not in (404, 409):
            raise refused(self._site, status, answer)
        if status == 404 and method != "DELETE":
            raise NotFound(f"{self._site}: {method} {path} answered 404; is the collection there?")
        return status

    async def _asked(self, method: str, path: str, body: bytes | None) -> tuple[int, Bytes]:
        headers = {**self._headers, "Content-Type": "application/geo+json"}
        ask = Ask(
            method=method,
            url=f"{self._base}{path}",
            body=body,
            headers=headers,
            repeatable=False,
            limit=1 << 20,
        )
        answer = await self._http.fetch(ask)
        return answer.status, answer.body


def refused(site: str, status: int, content: Bytes) -> SiteUnavailable | SiteMisbehaved:
    """Return the error for an answer that is none."""
    text = excerpt(content) or "nothing more"
    if status in OVERLOADED:
        return SiteUnavailable(site, f"answered {status}: {text}", code="overloaded")
    return SiteMisbehaved(site, f"answered {status}: {text}", code="error" if status >= 500 else "refused")


def _path(collection: str, item: str | None = None) -> str:
    home = f"/collections/{quote(collection, safe='')}"
    return home if item is None else f"{home}/items/{quote(item, safe='')}"


def _items(collection: str) -> str:
    return f"{_path(collection)}/items"
