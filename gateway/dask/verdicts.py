"""PURE: what reconciliation does with one route or one cluster, from what both sides say. The edge's word is the truth.

The rows are read after the edge's list was taken: a cluster in the list was created by a call that has either written
its name, or still is under way.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from edges.compute.model import MARK_FIELD, ClusterReport
from edges.model import Frozen
from gateway.dask.model import ClusterRoute

GRACE_SECONDS = 30.0
"""Kubernetes backends know a cluster only some time after they have created it."""

Act = Literal["keep", "adopt", "stop", "end", "ask"]
"""``keep``: renew the lease. ``adopt``: the cluster is this route's: take its name. ``stop``: tell the edge to end it.
``end``: nothing is held any more: release. ``ask``: the list does not show it; ask the edge for its report."""


class Verdict(Frozen):
    """One thing to do about a route, a cluster, or a pair of them."""

    act: Act
    route: ClusterRoute | None = None
    report: ClusterReport | None = None


def judge(
    routes: Collection[ClusterRoute], listed: Mapping[str, ClusterReport], *, under_way: Callable[[str], bool]
) -> list[Verdict]:
    """Judge all routes of one user at one edge against the edge's list of that user's clusters."""
    by_name = {route.name: route for route in routes if route.name is not None}
    by_mark = {route.id: route for route in routes if route.name is None}
    busy = any(under_way(route.id) for route in routes)
    verdicts: list[Verdict] = []
    met: set[str] = set()
    for report in listed.values():
        route = by_name.get(report.name) or by_mark.get(str(report.options.get(MARK_FIELD, "")))
        if route is not None:
            met.add(route.id)
            verdicts.append(_met(route, report, under_way=under_way(route.id)))
        elif not busy:
            verdicts.append(Verdict(act="stop", report=report))
    missing = [route for route in routes if route.open and route.id not in met and not under_way(route.id)]
    return verdicts + [_missing(route) for route in missing]


def _met(route: ClusterRoute, report: ClusterReport, *, under_way: bool) -> Verdict:
    if route.state == "live" or under_way:
        return Verdict(act="keep", route=route, report=report)
    if route.state == "creating":
        return Verdict(act="adopt", route=route, report=report)
    if report.status == "STOPPING":
        return Verdict(act="keep", route=route, report=report)
    return Verdict(act="stop", route=route, report=report)


def _missing(route: ClusterRoute) -> Verdict:
    return Verdict(act="end" if route.name is None else "ask", route=route)


def is_young(route: ClusterRoute, *, now: float) -> bool:
    """Tell whether an edge may have created a cluster, and not know it yet."""
    return route.state == "live" and now - route.created_at < GRACE_SECONDS


def judge_answer(route: ClusterRoute, report: ClusterReport | None, *, now: float) -> Verdict:
    """Judge a route by the edge's own report of it, None where the edge knows no such cluster."""
    if report is None:
        return Verdict(act="keep" if is_young(route, now=now) else "end", route=route)
    return Verdict(act="end" if report.ended else "keep", route=route, report=report)
