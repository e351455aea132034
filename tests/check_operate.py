"""``make check-operate``: shows in a fresh clone how the house is operated, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``. Helm, kubectl, kubeconform,
promtool, etcd and kube-apiserver are built by Go where they are not cached: what cannot run is not shown.
"""

import sys
from collections.abc import Callable

from checking import Checks, main

ALL = "all pass, none skipped"
REQUIRED = {"LAKEGATE_REQUIRE": "helm,kubernetes"}
OPERATE = "tests/service/operate/test_operate_"


def point(name: str, *arguments: str) -> Callable[[Checks], None]:
    """Return a part that runs tests and holds where all of them ran."""

    def show(checks: Checks) -> None:
        run = checks.pytest(*arguments, environment=REQUIRED)
        checks.note(name, run, ALL, held=run.all_ran)

    return show


PARTS: dict[str, Callable[[Checks], None]] = {
    "charts": point(
        "charts: the checklist",
        *("tests/unit", "-k", "test_helm_ and not monitoring or test_operate_checklist"),
    ),
    "cluster": point(
        "cluster: charts at a real API server by Helm 3 and 4, upgrade from the last chart", f"{OPERATE}charts.py"
    ),
    "operator": point(
        "operator: reconcile, conflicts, lost watches, 410, restarts, leaders; its rights",
        *("tests/service/operator", f"{OPERATE}rights.py"),
    ),
    "walk": point("walk: from an empty cluster to a harvest, by the page's commands", f"{OPERATE}walk.py"),
    "replicas": point("replicas: any answers anything; a rolling restart fails no request", "tests/service/replicas"),
    "observing": point(
        "observing: metrics, alerts, dashboards, request ids, spans",
        *("tests/unit/test_helm_monitoring.py", "tests/unit/test_operate_lease_metrics.py"),
        *("tests/unit/test_request_ids.py", f"{OPERATE}tracing.py"),
    ),
    "image": point(
        "image: steps in a clean folder, bill of materials; helm test", f"{OPERATE}image.py", f"{OPERATE}release.py"
    ),
    "join": point("join: an edge's papers, and a look at it from outside", f"{OPERATE}join.py"),
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
