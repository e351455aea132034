"""What is counted of downloads, for Prometheus. The labels are site ids and kinds of ends: few values each."""

from collections.abc import Callable, Iterable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

End = Literal[
    "sent", "left", "stalled", "broken", "unchanged", "redirected", "refused", "limited", "quota", "missing", "failed"
]
"""``left``: the client went away. ``stalled``: it took nothing for too long. ``broken``: the site broke off within the
bytes. ``failed``: it gave none. ``limited``: too many at once. ``refused``: by its settings, or by who may have it."""


class DownloadMetrics:
    """Counts downloads and their bytes by site."""

    def __init__(self, metrics: CollectorRegistry, *, sites: Iterable[str], in_flight: Callable[[str], int]) -> None:
        self._sites = frozenset(sites)
        self._ends = Counter("lakegate_downloads", "Downloads, by how they ended.", ("site", "end"), registry=metrics)
        self._bytes = Counter("lakegate_download_bytes", "Bytes sent to clients.", ("site",), registry=metrics)
        self._signed = Counter("lakegate_signed_urls", "Signed addresses given out.", ("site",), registry=metrics)
        self._keys = Counter("lakegate_direct_keys", "Short-lived keys given out.", ("site",), registry=metrics)
        running = Gauge("lakegate_downloads_in_flight", "Downloads under way.", ("site",), registry=metrics)
        for site in self._sites:
            running.labels(site).set_function(_told(in_flight, site))

    def ended(self, site: str, end: End, count: int = 0) -> None:
        """Count a download that has ended, and what it sent; of sites that there are."""
        if site in self._sites:
            self._ends.labels(site, end).inc()
            self._bytes.labels(site).inc(count)

    def signed(self, site: str, count: int) -> None:
        """Count signed addresses."""
        self._signed.labels(site).inc(count)

    def keys(self, site: str) -> None:
        """Count a pair of keys."""
        self._keys.labels(site).inc()


def _told(in_flight: Callable[[str], int], site: str) -> Callable[[], float]:
    return lambda: float(in_flight(site))
