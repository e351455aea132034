"""Orders at a store's tape tier: objects in an archived storage class are restored for some days, and then read.

An order names an item; its assets that are archived objects of the site's own buckets are restored together. Asking
twice does no harm: the store says that a restore is in progress already. Sources: Amazon S3 API Reference 2006-03-01,
RestoreObject and HeadObject (``x-amz-storage-class``, ``x-amz-restore``).
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import aiohttp
import msgspec
from yarl import URL

from edges.downloads.s3_way import S3Object, S3Way
from edges.errors import NotFound, SiteMisbehaved, SiteUnavailable
from edges.model import Json, Members
from edges.ordering.model import OrderRefused, OrderReport
from edges.settings import OrderSettings, StorageSettings
from edges.storage.s3_errors import MAX_ERROR_BODY, error_code, refusal
from edges.storage.sigv4 import Signer

ITEM = "id"
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects are not read until they are restored. ``GLACIER_IR`` is read at once."""

_RESTORE = re.compile(r'ongoing-request="(true|false)"')
_TAKEN = frozenset({200, 202})
"""RestoreObject: the copy is there and lives longer now; it is being made."""
_AT_ONCE = 8
_MOST_OBJECTS = 1_000


class S3Restores:
    """Implements :class:`edges.ordering.model.Ordering`.

    ``item`` looks an item up in the site's catalogue; ``s3`` says which addresses are objects of the site's own
    buckets. What is restored is kept as long as the order is told of.
    """

    def __init__(
        self,
        *,
        site: str,
        settings: OrderSettings,
        storage: StorageSettings,
        s3: S3Way,
        session: aiohttp.ClientSession,
        item: Callable[[str, str], Awaitable[Members | None]],
    ) -> None:
        self._site = site
        self._s3 = s3
        self._session = session
        self._item = item
        self._signer = Signer(
            endpoint=storage.endpoint,
            region=storage.region,
            access_key=storage.access_key.reveal(),
            secret_key=storage.secret_key.reveal(),
        )
        self._wish = _wish_of(settings.restore or "standard", max(1, math.ceil(settings.keep_days)))
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        self._places = asyncio.Semaphore(_AT_ONCE)

    @property
    def repeats(self) -> bool:
        """Tell that orders may be given again: a restore that is under way is told as such."""
        return True

    async def place(self, collection: str, parameters: Json, *, key: str = "") -> OrderReport:
        """Ask for the archived objects of an item."""
        if parameters.keys() != {ITEM}:
            raise OrderRefused(self._site, 'data on tape is ordered by its item: {"id": "..."}')
        handle: Json = {"collection": collection, ITEM: str(parameters[ITEM])}
        item = await self._looked_up(handle)
        hrefs = self._objects(item)
        if not hrefs:
            raise OrderRefused(self._site, "the item has no data in the site's own store")
        return self._report(handle, item, await self._each(hrefs))

    async def look(self, handle: Json) -> OrderReport:
        """Ask whether all of the item's objects can be read; one whose copy is gone meanwhile is asked for again."""
        try:
            item = await self._looked_up(handle)
            return self._report(handle, item, await self._each(self._objects(item)))
        except OrderRefused as error:
            return OrderReport(status="failed", handle=handle, reason=error.reason)

    async def cancel(self, handle: Json) -> bool:
        """Tell that a restore that has begun goes on to its end."""
        return False

    def _report(self, handle: Json, item: Json, waits: Sequence[bool]) -> OrderReport:
        if any(waits):
            return OrderReport(status="shipping", handle=handle)
        return OrderReport(status="succeeded", handle=handle, item=item)

    async def _looked_up(self, handle: Json) -> Json:
        try:
            found = await self._item(str(handle["collection"]), str(handle[ITEM]))
        except NotFound:
            found = None
        if found is None:
            raise OrderRefused(self._site, f"it has no item {str(handle[ITEM])[:200]!r}")
        try:
            return {name: msgspec.json.decode(raw) for name, raw in found.items()}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SiteMisbehaved(self._site, "its item cannot be read") from error

    def _objects(self, item: Json) -> list[str]:
        """Return the addresses of an item's objects in the site's own buckets, each once."""
        assets: Any = item.get("assets")
        told = assets.values() if isinstance(assets, dict) else ()
        hrefs = [asset.get("href") for asset in told if isinstance(asset, dict)]
        found = [href for href in dict.fromkeys(hrefs) if isinstance(href, str) and self._own(href) is not None]
        if len(found) > _MOST_OBJECTS:
            raise OrderRefused(self._site, f"the item has {len(found)} objects; {_MOST_OBJECTS} are restored at most")
        return found

    def _own(self, href: str) -> S3Object | None:
        if not self._s3.takes(href):
            return None
        try:
            return self._s3.object(href)
        except NotFound:
            return None

    async def _each(self, hrefs: Sequence[str]) -> list[bool]:
        async def one(href: str) -> bool:
            async with self._places:
                return await self._restored(href)

        return await asyncio.gather(*map(one, hrefs))

    async def _restored(self, href: str) -> bool:
        """Ask for an object, where it is archived and nobody did; tell whether it is still waited for."""
        state = await self._state(href)
        if state != "archived":
            return state == "coming"
        status, _, body = await self._ask("POST", href)
        code = error_code(body)
        if status in _TAKEN or code == "RestoreAlreadyInProgress":
            return True
        if status in (400, 403, 405, 501):
            raise OrderRefused(
                self._site, f"its store does not restore the data (HTTP {status} {code})".replace(" )", ")")
            )
        raise refusal(self._site, "RestoreObject", status, code)

    async def _state(self, href: str) -> Literal["there", "coming", "archived"]:
        status, headers, _ = await self._ask("HEAD", href)
        if status in (403, 404):
            raise OrderRefused(self._site, f"its store does not have the data of the item (HTTP {status})")
        if status != 200:
            raise refusal(self._site, "HeadObject", status, "")
        if headers.get("x-amz-storage-class", "") not in ARCHIVED:
            return "there"
        found = _RESTORE.search(headers.get("x-amz-restore", ""))
        if found is None:
            return "archived"
        return "coming" if found.group(1) == "true" else "there"

    async def _ask(self, method: Literal["HEAD", "POST"], href: str) -> tuple[int, Mapping[str, str], bytes]:
        """Ask for an object's state, or for its restore; return status, headers and the beginning of the body."""
        place, post = self._s3.object(href), method == "POST"
        query, kind = ({"restore": ""}, {"Content-Type": "application/xml"}) if post else ({}, {})
        url, headers = self._signer.signed(method, f"{place.bucket}/{place.key}", query, kind, datetime.now(UTC))
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=self._wish if post else None,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, await response.content.read(MAX_ERROR_BODY)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SiteUnavailable(self._site, f"its store broke off ({type(error).__name__})") from error


def _wish_of(tier: str, days: int) -> bytes:
    """Return the body of RestoreObject."""
    return (
        '<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Days>{days}</Days><GlacierJobParameters><Tier>{tier.title()}</Tier></GlacierJobParameters></RestoreRequest>"
    ).encode()
