"""``POST /collections/{collection}/bulk``: many items at once, as NDJSON or GeoParquet; bad lines are told."""

from pathlib import Path
from typing import ClassVar

import msgspec
from aiohttp import hdrs, web

from edges.errors import InvalidInput
from edges.site.bodies import json_response
from gateway.contributed.face import Writing, begun
from gateway.contributed.lines import lines_of, parquet_lines, pieces
from gateway.contributed.loading import Loading

LINES = ("application/x-ndjson", "application/ndjson", "application/geo+json-seq", "application/jsonl")
PARQUET = ("application/vnd.apache.parquet", "application/x-parquet")
_ATOMIC_BYTES = 64 << 20
"""Largest load that comes whole or not at all, in bytes: it is held in memory."""
_TRUE = ("true", "1", "yes")


class UnknownFormat(Exception):
    """The body is of a kind that is not loaded."""

    status: ClassVar[int] = 415
    title: ClassVar[str] = "Unsupported media type"


def is_bulk(request: web.Request) -> bool:
    """Tell whether a request's body may take long to come."""
    return request.method == "POST" and request.path.startswith("/collections/") and request.path.endswith("/bulk")


class BulkFace:
    """Serves bulk loads; ``folder`` is where files are kept while they are read."""

    def __init__(self, *, writing: Writing | None, most_bytes: int, pause_seconds: float, folder: Path) -> None:
        self._writing = writing
        self._most = most_bytes
        self._pause = pause_seconds
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/collections/{collection}/bulk", self.load)]

    async def load(self, request: web.Request) -> web.Response:
        """Add or replace the items of the body; with ``?atomic=true`` all of them, or none."""
        principal, writing = await begun(request, self._writing)
        home = request.match_info["collection"]
        writing.collections.fillable(principal, home)
        atomic = _flag(request.query.get("atomic"))
        loading = Loading(items=writing.items, principal=principal, home=home, atomic=atomic)
        most = min(self._most, _ATOMIC_BYTES) if atomic else self._most
        body = pieces(request.content, most=most, pause_seconds=self._pause)
        kind = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
        if kind in PARQUET:
            async with parquet_lines(body, self._folder) as told:
                report = await loading.run(lines_of(told, longest=writing.body_bytes))
        elif kind in LINES:
            report = await loading.run(lines_of(body, longest=writing.body_bytes))
        else:
            raise UnknownFormat(f"a body of {kind[:80] or 'no kind'}; expected {LINES[0]} or {PARQUET[0]}")
        response = json_response(msgspec.to_builtins(report))
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response


def _flag(told: str | None) -> bool:
    if told is None or told.lower() in ("false", "0", "no", ""):
        return False
    if told.lower() in _TRUE:
        return True
    raise InvalidInput("atomic", repr(told)[:40], "true or false")
