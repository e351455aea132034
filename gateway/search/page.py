"""What a search gives: a page of groups, and a report on each site. Values and their arithmetic; pure."""

from collections.abc import Iterable, Mapping

import msgspec

from edges.model import Dedup, Frozen, Json
from gateway.search.cursor import Count
from gateway.search.merge import Group
from gateway.search.plan import Call, Plan, Skip

SPARED = frozenset({"budget", "resting"})
"""Why a site was not asked although it did nothing wrong: no failure is counted against it."""
UNSIFTED = "copies"
"""The site has answered, but could not be asked what copies it has: the page may repeat one."""
EMPTY: Mapping[str, str] = {}


class Tally(Frozen):
    """What a stream counted of its site: items fetched and dropped, requests, and the count that the site told.

    ``probes`` are the requests for copies. Not ``exact``: the site has no words for all of what it was asked.
    """

    fetched: int = 0
    dropped: int = 0
    requests: int = 0
    milliseconds: float = 0.0
    matched: int | None = None
    probes: int = 0
    exact: bool = True


class SiteReport(Frozen):
    """What became of one site in one search.

    ``items`` are those on the page, ``fetched`` those that came, ``dropped`` those of them that failed our own check;
    ``requests`` were made, ``probes`` of them for copies; the others took ``milliseconds``. ``filter`` tells if the
    query was ``pushed`` down whole, ``widened`` to what the site has words for, or is in part ``residual``.
    ``status`` is ``answered``, ``failed`` or ``skipped``, ``missing`` tells that the page lacks what it may hold, and
    ``code`` is why, as one of few words.
    """

    site: str
    status: str
    reason: str = ""
    code: str = ""
    missing: bool = False
    items: int = 0
    fetched: int = 0
    dropped: int = 0
    requests: int = 0
    probes: int = 0
    milliseconds: float = 0.0
    filter: str = "pushed"


class Page(Frozen):
    """One page: groups of copies in the global order, the next cursor, the reports, and the plan behind it.

    ``matched`` is None where no exact count is known; ``at_least`` is a lower bound of it.
    """

    groups: list[Group]
    next: str | None
    matched: int | None
    reports: tuple[SiteReport, ...]
    plan: Plan
    at_least: int = 0

    @property
    def missing(self) -> list[str]:
        """Return the sites whose part of the answer is missing."""
        return [report.site for report in self.reports if report.missing]


def told_of_sites(page: Page, only: str | None = None) -> Json:
    """Return what an answer tells of its sites, or of one: what became of them, whose part is missing, the count."""
    return {
        "federation": {
            report.site: {name: value for name, value in msgspec.to_builtins(report).items() if name != "site"}
            for report in page.reports
            if only in (None, report.site)
        },
        "federation:missing": page.missing,
        "federation:matched": {"value": page.at_least, "exact": page.matched is not None},
    }


def reports(
    plan: Plan,
    tallies: Mapping[str, Tally],
    failures: Mapping[str, str],
    groups: Iterable[Group],
    codes: Mapping[str, str] = EMPTY,
) -> tuple[SiteReport, ...]:
    """Return what became of each site, by site; ``codes`` say why those in ``failures`` failed."""
    given: dict[str, int] = dict.fromkeys(tallies, 0)
    for group in groups:
        for row in group:
            given[row.site] += 1
    told = [_skipped(skip) for skip in plan.skips]
    for call in plan.calls:
        report = _asked(call, tallies[call.site], given[call.site])
        told.append(_missed(failures[call.site], codes, report) if call.site in failures else report)
    return tuple(sorted(told, key=lambda report: report.site))


def _missed(reason: str, codes: Mapping[str, str], report: SiteReport) -> SiteReport:
    code = codes.get(report.site, "failed")
    status = "skipped" if code in SPARED else report.status if code == UNSIFTED else "failed"
    return msgspec.structs.replace(report, status=status, reason=reason, code=code, missing=True)


def _skipped(skip: Skip) -> SiteReport:
    return SiteReport(site=skip.site, status="skipped", reason=skip.reason, code=skip.code, missing=skip.failed)


def _asked(call: Call, tally: Tally, items: int) -> SiteReport:
    return SiteReport(
        site=call.site,
        status="answered",
        items=items,
        fetched=tally.fetched,
        dropped=tally.dropped,
        requests=tally.requests + tally.probes,
        probes=tally.probes,
        milliseconds=round(tally.milliseconds, 3),
        filter="residual" if call.residual else "pushed" if tally.exact else "widened",
    )


def count_of(plan: Plan, tallies: Mapping[str, Tally], failures: Mapping[str, str], dedup: Dedup) -> Count:
    """Return how many items a walk gives.

    It is exact only where every asked site counted, none was checked away, and none can be a copy. Else it is a lower
    bound: what a site holds of an id it holds once, so copies of replicas can only be at sites that share a collection.
    """
    whole = not failures and not any(skip.failed for skip in plan.skips)
    known = {call.site: _counted(call, tallies[call.site]) for call in plan.calls if call.site not in failures}
    counts = {site: count for site, count in known.items() if count is not None}
    classes = _sharing([call for call in plan.calls if call.site in counts])
    if dedup == "none":
        classes = [[site] for site in counts]
    most = [max(counts[site] for site in sites) for sites in classes]
    if dedup in ("product", "observation"):
        total = sum(counts.values())
        return Count(value=min(total, 1), exact=whole and total <= 1 and len(counts) == len(plan.calls))
    exact = whole and len(counts) == len(plan.calls) and all(len(sites) == 1 for sites in classes)
    return Count(value=sum(most), exact=exact)


def _counted(call: Call, tally: Tally) -> int | None:
    """Return the site's own count, unless it counted what we drop."""
    return None if call.residual or tally.dropped else tally.matched


def _sharing(calls: Iterable[Call]) -> list[list[str]]:
    """Return the sites in classes: those of different ones share no collection that is asked for."""
    classes: list[tuple[set[str], list[str]]] = []
    for call in calls:
        held = set(call.segments[0].collections or call.holds or ())
        meeting = [one for one in classes if not held.isdisjoint(one[0])]
        classes = [one for one in classes if held.isdisjoint(one[0])]
        united = set().union(held, *(one[0] for one in meeting))
        classes.append((united, [call.site, *(site for one in meeting for site in one[1])]))
    return [sites for _, sites in classes]
