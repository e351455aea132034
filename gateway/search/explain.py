"""Why a search asked whom for what, and what came of it. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edges.model import Capabilities, Frozen, Json, Query
from edges.stac.request import query_to_post
from edges.tracing import Trace
from gateway.search.page import Page, SiteReport
from gateway.search.plan import Call

_PARTS = ("collections", "ids", "bbox", "intersects", "datetime", "filter", "text")


class SiteTold(Frozen):
    """What is known of a site beside its part in the search."""

    capabilities: Capabilities
    quirks: tuple[str, ...] = ()
    native: Query | None = None
    """What it was asked for first, in its own words; None where those are ours."""
    exact: bool = True
    """Whether its words say the same; else they match more, and the rest is checked here."""


def explanation(query: Query, page: Page, trace: Trace, sites: Mapping[str, SiteTold], *, milliseconds: float) -> Json:
    """Return the document: the plan, each site's part, each request, and what stands on the page."""
    calls = {call.site: call for call in page.plan.calls}
    return {
        "query": _shown(query),
        "order": [{"field": key.field, "direction": "desc" if key.descending else "asc"} for key in page.plan.order],
        "dedup": query.dedup,
        "milliseconds": round(milliseconds, 3),
        "page": {
            "items": len(page.groups),
            "copies": sum(len(group) - 1 for group in page.groups),
            "matched": page.matched,
            "next": page.next is not None,
            "missing": page.missing,
        },
        "sites": {
            report.site: _site(query, report, calls.get(report.site), sites.get(report.site), trace)
            for report in page.reports
        },
        "requests": [msgspec.to_builtins(request) for request in trace.requests],
        "requests:left_out": trace.left_out,
    }


def _shown(query: Query) -> Json:
    shown = query_to_post(query)
    return shown | {"sites": list(query.sites)} if query.sites is not None else shown


def _site(query: Query, report: SiteReport, call: Call | None, told: SiteTold | None, trace: Trace) -> Json:
    said: Json = {name: value for name, value in msgspec.to_builtins(report).items() if name not in ("site", "filter")}
    said["kept"] = report.fetched - report.dropped
    said["shared"] = trace.shared[report.site]
    said["received"] = sum(request.received for request in trace.requests if request.site == report.site)
    if told is not None:
        said["quirks"] = list(told.quirks)
    if call is not None:
        said |= _plan(query, call, told)
    return said


def _plan(query: Query, call: Call, told: SiteTold | None) -> Json:
    asked = call.segments[0]
    wanted = [part for part in _PARTS if getattr(query, part) is not None]
    pushed = [part for part in wanted if getattr(asked, part) is not None]
    residual = {part: _why(part, told) for part in wanted if part not in pushed}
    return {
        "pushed": [*pushed, *(["sortby"] if asked.sortby else [])],
        "residual": residual,
        "order": _order(call, told),
        "asked": _asked(asked),
        "native": _asked(told.native) if told is not None and told.native is not None else None,
        "widened": told is not None and not told.exact,
        "segments": len(call.segments),
        "share": call.share,
    }


def _asked(query: Query) -> Json:
    """Return what the site was asked for first, in harmonised words or in its own."""
    return {name: value for name, value in query_to_post(query).items() if name != "limit"}


def _why(part: str, told: SiteTold | None) -> str:
    """Say why a part of the query is checked here only."""
    can: Any = getattr(told.capabilities, part, None) if told is not None else None
    if can is False:
        return "the site does not declare it, or was caught ignoring it"
    return "it need not, or cannot, be said to this site"


def _order(call: Call, told: SiteTold | None) -> str:
    if call.ties:
        return "trusted"
    if call.sorted:
        return "trusted but among equal values, which are sorted here"
    if told is not None and told.capabilities.sort:
        return "the site sorts, but not by this: sorted here"
    return "not trusted: read to the end and sorted here"


EXPLAINED = (
    "site", "status", "pushed", "checked here", "order", "requests", "fetched", "dropped", "items", "ms", "notes",
)  # fmt: skip
"""The columns of :func:`table_rows`."""


def table_rows(document: Json) -> Iterable[tuple[str, ...]]:
    """Yield the cells of a table for people, a row for each site."""
    for site, said in sorted(document["sites"].items()):
        yield (
            site,
            said["status"],
            ", ".join(said.get("pushed", [])),
            ", ".join(said.get("residual", {})),
            said.get("order", ""),
            str(said["requests"]),
            str(said["fetched"]),
            str(said["dropped"]),
            str(said["items"]),
            f"{said['milliseconds']:,.0f}",
            said.get("reason") or "; ".join(said.get("quirks", [])),
        )
