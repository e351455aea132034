"""Opening sources: over HTTP, from a site's S3 store, from its folder, or a member of an archive in any of these.

Over HTTP what is missing is asked for by range (RFC 9110 section 14, ``Range`` with ``If-Range``). Redirects are
followed by hand, each checked.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from functools import partial
from urllib.parse import urljoin

import msgspec
from yarl import URL

from edges.errors import EdgeError, NotFound, SiteUnavailable
from edges.lines.answers import Answer
from edges.lines.sockets import Buffer
from edges.model import ObjectInfo
from edges.seams import ObjectStore
from harvest.connections import Connection, HttpConnection, StoreConnection
from harvest.errors import SourceChanged, SourceFailed
from harvest.http_answers import Opened, judge, judge_tail, redirect_of
from harvest.means import Means
from harvest.model import Source
from harvest.politeness import Manners, PoliteConnection
from harvest.reading import PIECE, Patience, Reading
from harvest.zip_address import is_member, parted
from harvest.zip_connection import Archive, open_member

MAX_REDIRECTS = 5

Span = tuple[int, int | None]
"""The first byte that is wanted, and where to stop (not included; None: at the end)."""

_ENCODED = re.compile(r"[!-~]+")
_NO_ADDRESS = "it is at, or leads to, an address that is none"
_NOTHING: Mapping[str, str] = {}

_Origin = tuple[str, str | None, int | None]
"""Scheme, host and port."""


class Sources:
    """Opens sources by the given means.

    ``http(s)`` by its session, each address checked, with credentials where the site wants some; ``s3`` by the site's
    own store; ``file`` from the site's folder; ``zip`` in any of these.
    """

    def __init__(self, *, means: Means, patience: Patience) -> None:
        self._means = means
        self._manners = means.manners or Manners({})
        self.patience = patience

    def reading(
        self, source: Source, *, start: int = 0, stop: int | None = None, validator: str | None = None
    ) -> Reading:
        """Return the stream of a source from byte ``start`` to its end, or up to ``stop``; enter it to connect."""
        return Reading(self, source, start, validator, stop)

    async def connect(self, source: Source, start: int, validator: str | None, stop: int | None = None) -> Connection:
        """Open one connection; what has a ``stop`` may give more all the same.

        Raises:
            LeftAlone: the source's site is not to be read at this hour.
            SourceFailed: no; its ``again`` tells whether to ask once more.
        """
        name = self._manners.host_of(source)
        if not self._manners.minds(name):
            return await self._opened(source, start, validator, stop)
        turn = await self._manners.turn(name)
        try:
            return PoliteConnection(await self._opened(source, start, validator, stop), turn)
        except BaseException:  # also where the work is given up: others wait for the turn
            turn.end()
            raise

    def _opened(self, source: Source, start: int, validator: str | None, stop: int | None) -> Awaitable[Connection]:
        if is_member(source.href):
            return self._member(source, start, validator)
        return self._connect(source, start, validator, stop)

    async def _connect(self, source: Source, start: int, validator: str | None, stop: int | None = None) -> Connection:
        try:
            if self._is_by_http(source):
                return await self._connect_http(source, (start, stop), validator)
            if source.href.startswith("s3:"):
                return await self._connect_s3(source, (start, stop), validator)
            return await self._connect_file(source, start, validator)
        except NotFound as error:
            raise SourceFailed("the object is not there", again=False) from error
        except EdgeError as error:
            raise SourceFailed(str(error), again=isinstance(error, SiteUnavailable)) from error
        except OSError as error:
            raise SourceFailed(f"no connection: {type(error).__name__}", again=True) from error

    def _is_by_http(self, source: Source) -> bool:
        return source.href.startswith(("http:", "https:")) or self._means.way_of(source) is not None

    # -- members of archives -------------------------------------------------------------------------------

    async def _member(self, source: Source, start: int, validator: str | None) -> Connection:
        """Open a member of an archive; all that is asked for it is within one turn."""
        member, address = parted(source.href)
        if not member:
            raise SourceFailed("the address names no member of an archive", again=False)
        inside = msgspec.structs.replace(source, href=address)
        archive = Archive(tail=partial(self._tail, inside), begin=partial(self._again, inside))
        return await open_member(archive, member, start, validator)

    async def _again(self, source: Source, start: int, validator: str | None) -> Connection:
        await self._manners.again(self._manners.host_of(source))
        return await self._connect(source, start, validator)

    async def _tail(self, source: Source, most: int) -> tuple[bytes, Opened]:
        """Return the last bytes of a source, with its length and validator."""
        try:
            if self._is_by_http(source):
                answer = await self._answer(source, {"Range": f"bytes=-{most}"})
                connection: Connection = HttpConnection(answer, Opened(total=None, validator=None, skip=0))
                try:
                    connection.opened = judge_tail(answer.status, answer.headers, most)
                    return await _rest(connection, most), connection.opened
                finally:
                    await connection.close()
        except EdgeError as error:
            raise SourceFailed(str(error), again=isinstance(error, SiteUnavailable)) from error
        except OSError as error:
            raise SourceFailed(f"no connection: {type(error).__name__}", again=True) from error
        first = await self._connect(source, 0, None)
        await first.close()
        connection = await self._connect(source, max(0, (first.opened.total or 0) - most), first.opened.validator)
        try:
            return await _rest(connection, most), first.opened
        finally:
            await connection.close()

    # -- one connection ------------------------------------------------------------------------------------

    async def _connect_http(self, source: Source, span: Span, validator: str | None) -> Connection:
        start, stop = span
        ranged = start > 0 or stop is not None
        last = "" if stop is None else stop - 1
        wanted = {"Range": f"bytes={start}-{last}", "If-Range": validator or ""} if ranged else {}
        answer = await self._answer(source, wanted)
        try:
            opened = judge(answer.status, answer.headers, start, validator, ranged=ranged)
            return HttpConnection(answer, opened)
        except SourceFailed:
            answer.close()
            raise

    async def _answer(self, source: Source, wanted: Mapping[str, str]) -> Answer:
        """Ask for a source, and follow where it leads; what a site is shown goes to that origin only."""
        way = self._means.way_of(source)
        address, shown, detour = source.href, _NOTHING, None
        if way is not None:
            call = await way.call("GET", source.href)
            address, shown = call.url, call.headers
            detour = None if _origin(address) == _origin(source.href) else _origin(address)
        for _ in range(MAX_REDIRECTS + 1):
            asked = self._checked(address, detour)
            authorized = await self._means.authorize(source.site, address)
            headers = {"Accept-Encoding": "identity", **wanted, **shown, **authorized}
            answer = await self._means.lines.ask("GET", asked, headers, stall=self.patience.stall)
            location = redirect_of(answer.status, answer.headers)
            if location is None:
                return answer
            answer.close()
            await self._manners.again(self._manners.host_of(source))
            address, before = _joined(address, location), address
            if _origin(address) != _origin(before):
                shown = _NOTHING
        raise SourceFailed(f"more than {MAX_REDIRECTS} redirects", again=False)

    def _checked(self, address: str, detour: _Origin | None) -> str:
        """Return an address that may be called, encoded; ``detour`` is configured, and the lines look at it."""
        try:
            if detour is None or _origin(address) != detour:
                self._means.check(address)
            return address if _ENCODED.fullmatch(address) else str(URL(address))
        except ValueError as error:
            raise SourceFailed(_NO_ADDRESS, again=False) from error

    async def _connect_s3(self, source: Source, span: Span, validator: str | None) -> Connection:
        place = self._means.places.get(source.site)
        key = None if place is None else place.key_of(source.href)
        if place is None or key is None:
            raise SourceFailed("no credentials for this bucket are configured", again=False)
        info, pieces = await (place.store.lend_whole(key) if span == (0, None) else _lent(place.store, key, span))
        opened = Opened(total=info.size, validator=info.etag or None, skip=0)
        connection = StoreConnection(pieces, opened)
        if validator is not None and info.etag != validator:
            await connection.close()
            raise SourceChanged
        return connection

    async def _connect_file(self, source: Source, start: int, validator: str | None) -> Connection:
        folder = self._means.folders.get(source.site) if source.own else None
        if folder is None:
            raise SourceFailed("no folder of this site is configured", again=False)
        return await folder.open(source.href, start, validator)


async def _lent(store: ObjectStore, key: str, span: Span) -> tuple[ObjectInfo, AsyncIterator[Buffer]]:
    """Return a piece of an object, and what the whole is."""
    info = await store.head(key)
    if info is None:
        raise NotFound(f"no object {key!r}")
    return info, store.lend(key, start=span[0], stop=span[1])


async def _rest(connection: Connection, most: int) -> bytes:
    """Return all that is left of a connection."""
    body = bytearray()
    while piece := await connection.read(PIECE):
        body += piece
        if len(body) > most:
            raise SourceFailed("more came than was asked for", again=False)
    return bytes(body)


def _joined(address: str, location: str) -> str:
    try:
        return urljoin(address, location)
    except ValueError as error:
        raise SourceFailed(_NO_ADDRESS, again=False) from error


def _origin(url: str) -> _Origin:
    try:
        parsed = URL(url)
    except ValueError as error:
        raise SourceFailed(_NO_ADDRESS, again=False) from error
    return parsed.scheme, parsed.host, parsed.port
