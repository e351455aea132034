"""Archives of what was harvested, sent as they are made: nothing is put together on disk or in memory."""

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

from aiohttp import hdrs, web

from edges.errors import SiteUnavailable
from gateway.hook import archive
from gateway.hook.archive import File, Sent
from gateway.hook.model import HookOrder, Product
from harvest.errors import HarvestError
from harvest.harvester import Harvester
from harvest.seams import Place

_log = logging.getLogger(__name__)

_PAGE = 1_000
_TRIES = 5
"""How often an object is read on where the store broke off, each time with some progress or after a pause."""
_PAUSE = 0.5
_BUSY_SECONDS = 10


class NothingThere(HarvestError):
    """What was harvested is not there any more, or there was nothing."""

    status: ClassVar[int] = 410
    title: ClassVar[str] = "The product is not there any more"


class TooBusy(Exception):
    """As many archives are being sent as may be."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "Too many downloads at once"
    retry_after: ClassVar[int] = _BUSY_SECONDS


class Downloads:
    """Sends archives, ``most`` at once."""

    def __init__(self, *, harvester: Harvester, places: Mapping[str, Place], most: int) -> None:
        self._harvester = harvester
        self._places = places
        self._free = most

    async def send(self, request: web.Request, order: HookOrder, product: Product, name: str) -> web.StreamResponse:
        """Answer a request with a product's archive.

        Raises:
            NothingThere: the copy has gone.
            TooBusy: as many archives are being sent as may be.
        """
        files = await self._files(product)
        response = web.StreamResponse(headers={hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"'})
        response.content_type = "application/zip"
        response.content_length = archive.length(files)
        response.headers[hdrs.CACHE_CONTROL] = "private, no-store"
        async with self._slot():
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._send(response, self._places[order.target], files)
                await response.write_eof()
        return response

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._free <= 0:
            raise TooBusy("as many archives are being sent as may be; try again in a moment")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def _files(self, product: Product) -> tuple[File, ...]:
        found: list[tuple[str, int]] = []
        after: int | None = 0
        while after is not None:
            results = await self._harvester.results(product.job, after=after, limit=_PAGE)
            found += [
                (each.href.removeprefix("s3://").partition("/")[2], each.size or 0)
                for each in results.objects
                if each.state == "AVAILABLE" and each.href is not None
            ]
            after = results.next
        if not found:
            raise NothingThere("the product is not there any more: temporary copies stay for some days only")
        return archive.files_named(found)

    async def _send(self, response: web.StreamResponse, place: Place, files: tuple[File, ...]) -> None:
        sent: list[Sent] = []
        offset = 0
        for file in files:
            before = archive.header(file)
            await response.write(before)
            crc = 0
            async for piece in _steady(place, file):
                crc = zlib.crc32(piece, crc)
                await response.write(piece)
            after = archive.descriptor(file, crc)
            await response.write(after)
            sent.append(Sent(file=file, offset=offset, crc=crc))
            offset += len(before) + file.size + len(after)
        await response.write(archive.ending(sent, offset))


async def _steady(place: Place, file: File) -> AsyncIterator[bytes]:
    """Read an object to its end, on from where the store broke off; exactly as many bytes as were announced.

    Raises:
        SiteUnavailable: the store does not deliver; the connection is broken off, and the client sees it.
    """
    position = tries = 0
    while position < file.size:
        try:
            async for piece in place.store.get(file.key, start=position, stop=file.size):
                position += len(piece)
                tries = 0
                yield piece
            reason = "the object is shorter than it was"
        except SiteUnavailable as error:
            reason = error.reason
        if position < file.size:
            tries += 1
            if tries >= _TRIES:
                raise SiteUnavailable(place.site, reason)
            _log.info("an object is read on", extra={"site": place.site, "reason": reason})
            await asyncio.sleep(_PAUSE * tries)
