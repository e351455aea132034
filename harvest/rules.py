"""What a rule does at a run: which part of its source it reads, and how far it has got then. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edges.model import Interval, Json, Query
from edges.stac.datetimes import format_instant, sortable_instant
from edges.stac.request import search_from_post
from harvest.errors import OrderRefused
from harvest.model import OrderRequest
from harvest.places import chosen
from harvest.rules_model import Field, RuleRequest, Watermark
from harvest.spans import RelativeInterval, seconds_of

FULL_WALK_RUNS = 24
"""Every so many runs the source is read as a whole: what arrived later than the overlap is found then."""

FIELDS: tuple[Field, ...] = ("updated", "created", "published")
"""Properties that may tell when an item came to be known at its hub, the best first."""

PAGE = 500


class Sighting:
    """What a walk over a source has met; fed item by item."""

    def __init__(self) -> None:
        self.items = 0
        self._told: dict[str, int] = dict.fromkeys([*FIELDS, "datetime"], 0)
        self._latest: dict[str, float] = {}

    def meet(self, items: Iterable[Json]) -> None:
        """Take note of items."""
        for item in items:
            self.items += 1
            properties = item.get("properties")
            for name in self._told:
                at = _moment(properties, name)
                if at is not None:
                    self._told[name] += 1
                    self._latest[name] = max(at, self._latest.get(name, at))

    def field(self) -> Field:
        """Return the best property that each item told, or an empty text."""
        return next((name for name in FIELDS if self.items and self._told[name] == self.items), "")

    def latest(self, field: Field) -> float | None:
        """Return the latest value (epoch seconds)."""
        return self._latest.get(field or "datetime")


def _moment(properties: Any, name: str) -> float | None:
    told = properties.get(name) if isinstance(properties, dict) else None
    if not isinstance(told, str):
        return None
    at = sortable_instant(told)
    return None if at is None else at / 1e6


def base_query(request: RuleRequest) -> Query:
    """Return the search of a rule, without times.

    Raises:
        InvalidInput: a part of the search is wrong.
    """
    search = dict(request.source.search)
    if isinstance(search.get("filter"), str):
        search["filter-lang"] = "cql2-text"
    query = search_from_post(msgspec.json.encode(search | {"limit": PAGE}), default_limit=PAGE, max_limit=PAGE).query
    return msgspec.structs.replace(query, sites=request.source.sites or query.sites)


def is_full(mark: Watermark) -> bool:
    """Tell whether the next run reads the source as a whole."""
    return mark.walked is None or mark.seen is None or mark.runs_since_walk >= FULL_WALK_RUNS


def query_at(request: RuleRequest, mark: Watermark, *, now: float, created: float) -> Query:
    """Return what a run at ``now`` asks for."""
    query = base_query(request)
    window = RelativeInterval.parse(request.source.datetime).at(now) if request.source.datetime else Interval()
    if not request.retroactive:
        window = _from(window, created)
    if not is_full(mark) and mark.seen is not None:
        since = mark.seen - seconds_of(request.overlap)
        if mark.field:
            later = {"op": ">=", "args": [{"property": mark.field}, {"timestamp": format_instant(int(since * 1e6))}]}
            told = later if query.filter is None else {"op": "and", "args": [query.filter, later]}
            query = msgspec.structs.replace(query, filter=told)
        else:
            window = _from(window, since)
    return msgspec.structs.replace(query, datetime=None if window == Interval() else window)


def _from(window: Interval, start: float) -> Interval:
    first = int(start * 1e6)
    if window.end is not None and window.end < first:  # nothing can match; an interval must not be upside down
        first = window.end
    return Interval(start=first if window.start is None else max(first, window.start), end=window.end)


def mark_after(mark: Watermark, sighting: Sighting, *, now: float) -> Watermark:
    """Return how far a rule is after a run: never past ``now``, whatever times items tell."""
    full = is_full(mark)
    field = (sighting.field() if sighting.items else mark.field) if full else mark.field
    latest = sighting.latest(field)
    before = mark.seen if field == mark.field else None
    told = [at for at in (latest, before) if at is not None]
    return Watermark(
        field=field,
        seen=min(now, max(told)) if told else None,
        looked=now,
        walked=now if full else mark.walked,
        runs_since_walk=0 if full else mark.runs_since_walk + 1,
    )


def targets_of(request: RuleRequest, labels: Mapping[str, Mapping[str, str]], earlier: Sequence[str] = ()) -> list[str]:
    """Return where a rule's copies go: where they went before, then by name.

    Raises:
        InvalidInput: the expression cannot be read.
        OrderRefused: it names too few places.
    """
    found = [request.target.edges] if request.target.edges in labels else chosen(request.target.edges, labels)
    kept = [place for place in earlier if place in found]
    places = [*kept, *(place for place in found if place not in kept)][: request.target.copies]
    if len(places) < request.target.copies:
        wanted = request.target.copies
        raise OrderRefused(f"{request.target.edges!r} names {len(found)} edges that take copies; {wanted} are wanted")
    return places


def order_request(request: RuleRequest, query: Query, target: str) -> OrderRequest:
    """Return the order that a rule gives at one target."""
    return OrderRequest(
        query=query,
        target=target,
        assets=request.source.assets,
        bucket=request.target.bucket,
        prefix=request.target.prefix,
        integrity=request.integrity,
        content=request.content,
        lifetime=None if request.lifetime is None else seconds_of(request.lifetime),
        priority=request.priority,
        notify=request.notify,
        executor=request.executor,
    )
