"""``make check-search``: shows the harmonised search in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``. The benchmark's peers (nginx,
stac-fastapi-pgstac on PostgreSQL with PostGIS, stac-fastapi-eodag) are required: what is not measured is not shown.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from checking import Checks, main

EXAMPLES = os.environ.get("LAKEGATE_EXAMPLES", "10")
"""How many times more random catalogues, queries and failures than in the ordinary tests."""
ALL = "all pass, none skipped"
PEERS = ("nginx-light", "postgresql-15-postgis-3")
"""Packages of Debian that the benchmark sets beside us; installed where we are root and they are missing."""


def words(checks: Checks) -> None:
    """Run the words of STAC: requests, CQL2, order, datetimes, identity, profiles, budgets."""
    run = checks.pytest("tests/unit", "-k", "stac or search or edges or http or gateway or identity or profile")
    checks.note("words: parsing, CQL2, order, identity, profiles", run, ALL, held=run.all_ran)
    seam = checks.pytest("tests/seam", "-k", "catalogue")
    checks.note("catalogues: one contract for all of them", seam, ALL, held=seam.all_ran)


def properties(checks: Checks) -> None:
    """Run the property tests with more examples: a walk is the sorted, filtered, de-duplicated union."""
    where = ("tests/unit", "tests/seam/test_catalogue.py", "tests/service/gateway")
    run = checks.pytest(*where, "-m", "hypothesis", environment={"LAKEGATE_EXAMPLES": EXAMPLES})
    checks.note("properties: walks over random sites, queries and failures", run, ALL, held=run.all_ran)


def service(checks: Checks) -> None:
    """Run the gateway over real sites, hostile ones, real catalogues, and unmodified clients."""
    run = checks.pytest("tests/service/gateway", "tests/service/site")
    checks.note("service: clients, hostile sites, partial answers, real catalogues", run, ALL, held=run.all_ran)


def benchmarks(checks: Checks) -> None:
    """Run the benchmarks beside their peers."""
    if os.geteuid() == 0 and shutil.which("apt-get") and not shutil.which("nginx"):
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *PEERS], check=False)
    checks.benchmarks("search", "catalogue", "export", "federation")


PARTS: dict[str, Callable[[Checks], None]] = {
    "words": words, "properties": properties, "service": service, "benchmarks": benchmarks,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
