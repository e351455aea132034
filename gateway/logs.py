"""Structured logs: a constant message plus fields, as text for a person or as JSON lines for a machine."""

import logging
import sys
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from pythonjsonlogger.json import JsonFormatter

from edges.request_ids import know_requests
from gateway.middleware import route_of

_log = logging.getLogger(__name__)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _FieldsFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Append the extra fields to the message."""
        fields = " ".join(f"{key}={value!r}" for key, value in record.__dict__.items() if key not in _STANDARD)
        line = super().format(record)
        return f"{line} {fields}" if fields else line


def set_up_logs(level: str, *, as_json: bool) -> None:
    """Send all logs to standard error, each record with the id of the request that it belongs to."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(know_requests)
    if as_json:
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    else:
        handler.setFormatter(_FieldsFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


@web.middleware
async def access_log_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell of each request by its route, never its path or query: users put names and signatures there."""
    started = time.perf_counter()
    status = 499  # the client went away
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        fields = {"method": request.method[:16], "route": route_of(request), "status": status}
        _log.info("request", extra=fields | {"ms": round((time.perf_counter() - started) * 1e3, 1)})
