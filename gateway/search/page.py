"""What a search gives: a page of groups, and a report on each site. Values and their arithmetic; pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edges.model import Frozen
from gateway.search.merge import Group
from gateway.search.plan import Call, Plan, Skip

SPARED = frozenset({"budget", "resting"})
"""Why a site was not asked although it did nothing wrong: no failure is counted against it."""
UNSIFTED = "copies"
"""The site has answered, but could not be asked what copies it has: the page may repeat one."""
EMPTY: Mapping[str, str] = {}


class Tally(Frozen):
    """What a stream counted of its site: items fetched and dropped, requests, and the count that the site told."""

    fetched: int = 0
    dropped: int = 0
    requests: int = 0
    milliseconds: float = 0.0
    matched: int | None = None


class SiteReport(Frozen):
    """What became of one site in one search.

    ``items`` are those on the page, ``fetched`` those that came, ``dropped`` those of them that failed our own check;
    ``requests`` were made in ``milliseconds``. ``filter`` tells whether it was ``pushed`` down or is ``residual``.
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
    milliseconds: float = 0.0
    filter: str = "pushed"


class Page(Frozen):
    """One page: groups of copies in the global order, the next cursor, the reports, and the plan behind it.

    ``matched`` is None where no exact count is known.
    """

    groups: list[Group]
    next: str | None
    matched: int | None
    reports: tuple[SiteReport, ...]
    plan: Plan

    @property
    def missing(self) -> list[str]:
        """Return the sites whose part of the answer is missing."""
        return [report.site for report in self.reports if report.missing]


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
        requests=tally.requests,
        milliseconds=round(tally.milliseconds, 3),
        filter="residual" if call.residual else "pushed",
    )


def exact_count(plan: Plan, tallies: Mapping[str, Tally], failures: Mapping[str, str]) -> int | None:
    """Return how many items match: only where every asked site counted, none was checked away, none can be a copy."""
    if failures or any(skip.failed for skip in plan.skips) or any(call.residual for call in plan.calls):
        return None
    told = list(tallies.values())
    counts = [tally.matched for tally in told if tally.matched is not None]
    if len(counts) < len(told) or any(tally.dropped for tally in told) or _may_share(plan.calls):
        return None
    return sum(counts)


def _may_share(calls: Sequence[Call]) -> bool:
    wanted = [set(call.segments[0].collections or call.holds or ()) for call in calls]
    return sum(len(each) for each in wanted) != len(set().union(*wanted))
