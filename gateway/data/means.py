"""What every way of giving data works with."""

from dataclasses import dataclass

from gateway.data.egress import Egress
from gateway.data.finding import Finder
from gateway.data.grants import Grants
from gateway.data.metrics import DownloadMetrics


@dataclass(frozen=True, kw_only=True)
class Means:
    """Who finds the data, who is charged for it, what was granted already, and what is counted."""

    finder: Finder
    egress: Egress
    grants: Grants
    metrics: DownloadMetrics
