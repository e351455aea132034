"""What one search asks of the sites, request by request, for whoever wants it explained.

The trace follows the search through its tasks as a context variable: nobody between has to hand it on, and a search
that nobody wants explained pays one look-up for each request.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from edges.model import Frozen, Json

MAX_REQUESTS = 500
"""Most requests that a trace keeps; a search that makes more has told enough."""
HIDDEN = "(hidden)"
_SHOWN = frozenset(
    {"collections", "ids", "bbox", "intersects", "datetime", "limit", "sortby", "fields", "filter", "filter-lang"}
    | {"filter-crs", "query", "q", "conf", "aggregations", "datetime_frequency_interval", "page", "offset"}
)
"""Parameters whose values are ours; any other may be a page token, a key or a signature."""


class TracedRequest(Frozen):
    """One request: without host and headers. ``status`` is None where no answer came; ``received`` in bytes."""

    site: str
    method: str
    path: str
    parameters: Json
    outcome: str
    milliseconds: float
    status: int | None = None
    received: int = 0


class Trace:
    """The requests so far, in the order in which they ended."""

    def __init__(self) -> None:
        self.requests: list[TracedRequest] = []
        self.left_out = 0
        self.shared: Counter[str] = Counter()
        """Answers, by site, that other searches were waiting for already: requests that were not made."""

    def add(self, request: TracedRequest) -> None:
        """Keep a request, up to the bound."""
        if len(self.requests) < MAX_REQUESTS:
            self.requests.append(request)
        else:
            self.left_out += 1


_CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)


def note_shared(site: str) -> None:
    """Note that an answer is shared with another search, where anybody wants to know."""
    trace = current()
    if trace is not None:
        trace.shared[site] += 1


@contextmanager
def tracing() -> Iterator[Trace]:
    """Trace what is asked of sites within the context, and in the tasks that are started there."""
    trace = Trace()
    token = _CURRENT.set(trace)
    try:
        yield trace
    finally:
        _CURRENT.reset(token)


def current() -> Trace | None:
    """Return the trace that is wanted here, if any."""
    return _CURRENT.get()


def traced_path(url: str) -> str:
    """Return the path of an address."""
    return urlsplit(url).path or "/"


def traced_parameters(url: str, body: bytes | None) -> Json:
    """Return the parameters of a request as they may be shown: what may be a secret is hidden."""
    shown: Json = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    if body:
        try:
            given: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            given = None
        shown |= given if isinstance(given, dict) else {}
    return {name: value if name in _SHOWN or name.endswith("_precision") else HIDDEN for name, value in shown.items()}
