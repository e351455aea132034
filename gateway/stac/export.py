"""``/search/export``: a search as one stream, NDJSON or GeoParquet, of any number of items; also of one catalogue.

NDJSON: an item on each line, then one record ``{"type": "lakegate:export", ...}`` that tells whether anything is
missing, and how to go on. ``records=checkpoints`` adds a record after each page, from which ``resume`` takes it up;
``records=items`` leaves all records out, and a stream that fails is broken off. GeoParquet tells the same in headers
(``Lakegate-Export-...``) and in its metadata (key ``lakegate``); what does not fit into one file is for the next.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from aiohttp import hdrs, web

from edges.errors import EdgeError, InvalidInput
from edges.geoparquet import NotInstalled, installed
from edges.model import Frozen, Json, Members
from edges.registry import Registry
from edges.stac.fields import apply_fields
from edges.stac.request import SearchRequest, search_from_get, search_from_post
from gateway.answers import NotAcceptable
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.export import PAGE_ITEMS, Export, walk
from gateway.search.federation import Federation
from gateway.search.merge import Group
from gateway.search.page import Page
from gateway.search.render import render_item
from gateway.search.showing import Showing
from gateway.settings import LimitSettings
from gateway.stac.demand import demand_of
from gateway.stac.export_file import chunks, spooled
from gateway.stac.export_places import Places
from gateway.stac.export_stream import (
    ClientGone,
    Outcome,
    Packing,
    break_off,
    checkpoint,
    delivered,
    following,
    line,
    piece_of,
)
from gateway.stac.harmonised import Harmonised
from gateway.stac.scope import Scope
from quotas.errors import QuotaError
from quotas.model import Line

_log = logging.getLogger(__name__)

NDJSON_TYPE, PARQUET_TYPE = "application/x-ndjson", "application/vnd.apache.parquet"
_TYPES = {NDJSON_TYPE: "ndjson", "application/ndjson": "ndjson", PARQUET_TYPE: "geoparquet", "*/*": "ndjson"}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}

Records = Literal["items", "trailer", "checkpoints"]


class Wanted(Frozen):
    """An export as asked for."""

    export: Export
    kind: str
    records: Records
    near: str | None
    base: str
    """Below which address the items' links are."""


class ExportFace:
    """Serves exports; ``folder`` is where files are made before they are sent."""

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        charging: Charging,
        limits: LimitSettings,
        harmonised: Harmonised,
        folder: Path,
    ) -> None:
        self._federation = federation
        self._showing = Showing(registry)
        self._charging = charging
        self._limits = limits
        self._harmonised = harmonised
        self._folder = folder
        self._places = Places(limits.exports)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face: of the whole lake, and of one site's catalogue."""
        paths = ("/search/export", "/catalogs/{catalogue}/search/export")
        return [route for path in paths for route in (web.get(path, self.by_get), web.post(path, self.by_post))]

    async def by_get(self, request: web.Request) -> web.StreamResponse:
        """``GET /search/export``: a search's parameters, and ``format``, ``records``, ``max_items``, ``resume``."""
        dedup = self._limits.default_dedup
        search = search_from_get(request.query, default_limit=PAGE_ITEMS, max_limit=PAGE_ITEMS, default_dedup=dedup)
        return await self._answer(request, self._wanted(request, search, {}))

    async def by_post(self, request: web.Request) -> web.StreamResponse:
        """``POST /search/export``: the body of a search, with the same members beside."""
        dedup = self._limits.default_dedup
        body = await request.read()
        search = search_from_post(body, default_limit=PAGE_ITEMS, max_limit=PAGE_ITEMS, default_dedup=dedup)
        members: Json = msgspec.json.decode(body) if body.strip() else {}
        return await self._answer(request, self._wanted(request, search, members))

    def _wanted(self, request: web.Request, search: SearchRequest, body: Json) -> Wanted:
        scope = self._harmonised.scope(request.match_info.get("catalogue"), principal_of(request))
        query = msgspec.structs.replace(search.query, sites=scope.sites)
        return _wanted(request, msgspec.structs.replace(search, query=query), body, scope)

    async def _answer(self, request: web.Request, wanted: Wanted) -> web.StreamResponse:
        with self._places.taken(wanted.export.user):
            await self._charging.request(principal_of(request), [Line(resource="requests", amount=1)])
            # A generator in all but the annotation of its function, which promises callers less.
            pages = cast("AsyncGenerator[Page, None]", walk(self._federation, wanted.export))
            async with aclosing(pages):
                try:
                    give = self._lines if wanted.kind == "ndjson" else self._file
                    return await give(request, wanted, pages)
                except ClientGone:
                    _log.info("export given up by its client", extra={"format": wanted.kind})
                    return web.Response(status=503)  # which nobody reads

    async def _lines(
        self, request: web.Request, wanted: Wanted, pages: AsyncGenerator[Page, None]
    ) -> web.StreamResponse:
        outcome = Outcome(resume=wanted.export.resume)
        page = await self._paid(request, pages)
        packing = Packing(request)
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: NDJSON_TYPE} | _HEADERS | packing.headers)
        await response.prepare(request)
        try:
            while page is not None:
                for part in piece_of(page, self._render(wanted), self._showing.safe):
                    await delivered(request, response.write(packing.packed(part)))
                outcome.add(page.next, len(page.groups), page.missing)
                if wanted.records == "checkpoints" and outcome.resume is not None:
                    await delivered(request, response.write(packing.packed(checkpoint(outcome))))
                page = await self._paid(request, pages)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: the answer has begun, its end must tell what happened
            self._failed(outcome, error)
        if wanted.records != "items":
            await delivered(request, response.write(packing.packed(line(outcome.record()))))
        elif outcome.error is not None:
            break_off(request)
            raise ClientGone
        await delivered(request, response.write_eof(packing.end()))
        return response

    async def _file(
        self, request: web.Request, wanted: Wanted, pages: AsyncGenerator[Page, None]
    ) -> web.StreamResponse:
        outcome = Outcome(resume=wanted.export.resume)
        async with spooled(self._folder, self._limits.export_bytes) as spool:
            try:
                while not spool.full and (page := await self._paid(request, pages)) is not None:
                    for part in piece_of(page, self._render(wanted), self._showing.safe):
                        await spool.add(part)
                    outcome.add(page.next, len(page.groups), page.missing)
            except (EdgeError, QuotaError) as error:
                if wanted.export.strict or wanted.export.require or not outcome.items:
                    raise
                self._failed(outcome, error)  # what there is, and how to go on, is worth more than nothing
            path = await spool.converted({"export": outcome.record()})
            headers = {hdrs.CONTENT_TYPE: PARQUET_TYPE} | _HEADERS | _told(outcome)
            response = web.StreamResponse(headers=headers)
            response.content_length = path.stat().st_size
            await response.prepare(request)
            async for chunk in chunks(path):
                await delivered(request, response.write(chunk))
            await delivered(request, response.write_eof())
        return response

    async def _paid(self, request: web.Request, pages: AsyncGenerator[Page, None]) -> Page | None:
        """Return the next page, which is charged before it is given away; None at the end."""
        page = await following(pages, request)
        if page is not None and page.groups:
            lines = [Line(resource="items", amount=len(page.groups))]
            await self._charging.request(principal_of(request), lines)
        return page

    def _failed(self, outcome: Outcome, error: Exception) -> None:
        if not hasattr(error, "status"):
            _log.error("export failed", exc_info=error, extra={"items": outcome.items})
        outcome.fail(error)

    def _render(self, wanted: Wanted) -> Callable[[Group], Members]:
        """Return what turns a group of copies into the item that is given, as things stand at this page."""
        prefer, fields = self._showing.prefer(wanted.near), wanted.export.query.fields

        def rendered(group: Group) -> Members:
            return apply_fields(render_item(group, base=wanted.base, prefer=prefer), fields)

        return rendered


def _told(outcome: Outcome) -> dict[str, str]:
    headers = {
        "Lakegate-Export-Items": str(outcome.items),
        "Lakegate-Export-Complete": str(outcome.complete).lower(),
        "Content-Disposition": 'attachment; filename="items.parquet"',
    }
    if outcome.missing:
        headers["Lakegate-Export-Missing"] = ", ".join(sorted(outcome.missing))
    if outcome.resume is not None:
        headers["Lakegate-Export-Resume"] = outcome.resume
    return headers


def _wanted(request: web.Request, search: SearchRequest, body: Json, scope: Scope) -> Wanted:
    given: Json = {name: value for name, value in {**request.query, **body}.items() if value not in (None, "")}
    demand = demand_of(body, request.query)
    export = Export(
        query=search.query,
        user=principal_of(request).user,
        strict=demand.strict,
        require=demand.require,
        resume=_token(given.get("resume", search.token)),
        most=_count(given["max_items"]) if "max_items" in given else None,
        sight=scope.sight,
    )
    return Wanted(
        export=export,
        kind=kind_of(given.get("format"), request.headers.get(hdrs.ACCEPT, "")),
        records=_records(given.get("records", "trailer")),
        near=given["near"] if isinstance(given.get("near"), str) else None,
        base=scope.url(),
    )


def kind_of(told: Any, accept: str) -> str:
    """Return the format that is asked for by parameter or by Accept.

    Raises:
        InvalidInput, NotAcceptable: it is none of ours.
        NotInstalled: GeoParquet cannot be made here.
    """
    kind = _asked(told, accept)
    if kind == "geoparquet" and not installed():
        raise NotInstalled("GeoParquet needs the extra `parquet` at the gateway; format=ndjson is always there")
    return kind


def _asked(told: Any, accept: str) -> str:
    if told is not None:
        if told not in ("ndjson", "geoparquet"):
            raise InvalidInput("format", repr(told)[:40], "ndjson or geoparquet")
        return str(told)
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",") if part.strip()]
    kinds = [_TYPES[each] for each in ranges if each in _TYPES]
    if ranges and not kinds and not any(each in ("application/*", "application/json") for each in ranges):
        raise NotAcceptable(f"an export is {NDJSON_TYPE} or {PARQUET_TYPE}")
    return kinds[0] if kinds else "ndjson"


def _records(value: Any) -> Records:
    if value not in ("items", "trailer", "checkpoints"):
        raise InvalidInput("records", repr(value)[:40], "items, trailer or checkpoints")
    return cast("Records", value)


def _token(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidInput("resume", repr(value)[:40], "the `resume` of a checkpoint or trailer, unchanged")
    return value


def _count(value: Any) -> int:
    try:
        count = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else 0
    except ValueError:
        count = 0
    if count < 1:
        raise InvalidInput("max_items", repr(value)[:40], "a whole number, 1 or more")
    return count
