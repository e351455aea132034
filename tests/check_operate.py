"""``make check-operate``: shows charts, image, metrics and joining in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``. Helm, kubeconform and promtool
are built by Go where they are not cached: what cannot run is not shown.
"""

import sys
from collections.abc import Callable

from checking import Checks, main

ALL = "all pass, none skipped"
REQUIRED = {"LAKEGATE_REQUIRE": "helm"}


def charts(checks: Checks) -> None:
    """Run what shows the charts: values, pods, policies, renders by Helm 3 and 4."""
    run = checks.pytest("tests/unit", "-k", "test_helm_ and not monitoring", environment=REQUIRED)
    checks.note("charts: the checklist", run, ALL, held=run.all_ran)


def observing(checks: Checks) -> None:
    """Run what shows metrics, alerts, dashboards and the ids of requests."""
    run = checks.pytest("tests/unit/test_helm_monitoring.py", "tests/unit/test_request_ids.py", environment=REQUIRED)
    checks.note("observing: alerts, dashboards, request ids", run, ALL, held=run.all_ran)


def operating(checks: Checks) -> None:
    """Run what shows the image, the test of a release, and an edge that joins."""
    run = checks.pytest("tests/service/operate", environment=REQUIRED)
    checks.note("operating: image, helm test, join", run, ALL, held=run.all_ran)


PARTS: dict[str, Callable[[Checks], None]] = {"charts": charts, "observing": observing, "operating": operating}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
