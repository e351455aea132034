"""What is counted of the sites, for Prometheus. Every label has few values: site ids, kinds of outcome, of quirk."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edges.observing import Outcome
from edges.quirks import KINDS
from edges.registry import Site
from gateway.search.page import SiteReport
from gateway.tallies import Spreads, Tallies

_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STATES = ("closed", "half-open", "open")


class SiteMetrics:
    """Counts requests as they are made (:class:`edges.observing.CallObserver`) and pages as they are given."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        self._requests = Tallies(
            "lakegate_site_requests", "Requests to a site, by how they ended.", ("site", "outcome"), registry=metrics
        )
        self._seconds = Spreads(
            "lakegate_site_request_seconds", "Time of one request.", "site", bounds=_BUCKETS, registry=metrics
        )
        self._waits = Histogram(
            "lakegate_site_budget_wait_seconds",
            "Time that requests waited for their turn.",
            ("site",),
            buckets=_BUCKETS,
            registry=metrics,
        )
        self._spared = Counter(
            "lakegate_site_spared", "Requests not made: no budget, or a rest.", ("site", "code"), registry=metrics
        )
        self._retries = Counter("lakegate_site_retries", "Requests made again.", ("site", "trouble"), registry=metrics)
        self._hedges = Counter(
            "lakegate_site_hedges", "Searches for which a mirror was asked, too.", ("site", "won"), registry=metrics
        )
        self._parts = Tallies(
            "lakegate_site_parts", "Parts of answers, by what became of them.", ("site", "code"), registry=metrics
        )
        self._items = Tallies(
            "lakegate_site_items", "Items fetched, and those of them dropped.", ("site", "fate"), registry=metrics
        )
        self._up = Gauge("lakegate_site_up", "Whether the site may be relied on.", ("site",), registry=metrics)
        self._state = Gauge(
            "lakegate_site_breaker", "1 for the state of the breaker.", ("site", "state"), registry=metrics
        )
        self._quirks = Gauge(
            "lakegate_site_quirks", "How often a site was caught at something.", ("site", "kind"), registry=metrics
        )

    def called(self, site: str, outcome: Outcome, seconds: float) -> None:
        """Count a request that has ended."""
        self._requests.add(site, outcome)
        self._seconds.observe(site, seconds)

    def waited(self, site: str, seconds: float) -> None:
        """Count a wait for a turn."""
        self._waits.labels(site).observe(seconds)

    def spared(self, site: str, code: str) -> None:
        """Count a request that was not made."""
        self._spared.labels(site, code).inc()

    def repeated(self, site: str, trouble: str) -> None:
        """Count a retry."""
        self._retries.labels(site, trouble).inc()

    def hedged(self, site: str, *, won: bool) -> None:
        """Count a hedge."""
        self._hedges.labels(site, str(won).lower()).inc()

    def given(self, report: SiteReport) -> None:
        """Count a site's part of a page: answered, or why it is missing or was not asked for."""
        self._parts.add(report.site, report.code or report.status)
        if report.fetched:
            self._items.add(report.site, "fetched", count=report.fetched)
        if report.dropped:
            self._items.add(report.site, "dropped", count=report.dropped)

    def look(self, site: Site) -> None:
        """Take down how a site is, right before the metrics are told."""
        state = site.pulse.state(site.clock())
        self._up.labels(site.id).set(1 if site.pulse.available else 0)
        for each in _STATES:
            self._state.labels(site.id, each).set(1 if each == state else 0)
        counts = {quirk.kind: quirk.count for quirk in site.quirk_report}
        for kind in KINDS:
            if kind in counts:
                self._quirks.labels(site.id, kind).set(counts[kind])
