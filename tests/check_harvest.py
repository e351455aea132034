"""``make check-harvest``: shows harvests in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds.
"""

import sys
from collections.abc import Callable

from checking import Checks, main

ALL = "all pass, none skipped"
SERVICE = "tests/service/harvest"


def _shown(checks: Checks, name: str, *arguments: str) -> None:
    run = checks.pytest(*arguments)
    checks.note(name, run, ALL, held=run.all_ran)


def rules(checks: Checks) -> None:
    """Run what decides: states, spans, expressions, keys, wishes, replicas; and rules over a hub that grows."""
    _shown(checks, "rules: what decides", "tests/unit", "-k", "test_harvest_")
    _shown(checks, "rules: standing, late arrivals, approval, repair", f"{SERVICE}/test_harvest_rules.py")


def transfer(checks: Checks) -> None:
    """Run the transfer against hostile sources and a store that fails."""
    seen = sorted(path.name for path in (checks.clone / SERVICE).glob("test_harvest_*.py"))
    others = (
        "rules",
        "faces",
        "lifetimes",
        "killed",
        "beside",
        "removed",
        "points",
        "points_beside",
        "gateways",
        "far",
        "dask",
        "jobs",
        "command",
    )
    rest = [
        f"{SERVICE}/{name}" for name in seen if name.removeprefix("test_harvest_").removesuffix(".py") not in others
    ]
    _shown(checks, "transfer: hostile sources, every byte right", *rest)


def killed(checks: Checks) -> None:
    """Kill the process after each of its writes, of a harvest and of a removal; and with one beside it, either."""
    _shown(checks, "killed after each write", f"{SERVICE}/test_harvest_killed.py", f"{SERVICE}/test_harvest_removed.py")
    run = checks.pytest(f"{SERVICE}/test_harvest_beside.py", environment={"LAKEGATE_KILL": "all"})
    checks.note("killed or hanging: a process beside that has many in hand", run, ALL, held=run.all_ran)
    for where in ("sqlite", "postgresql"):
        for points, beside in (("points", ""), ("points_beside", ", with a process beside")):
            every = _on(where) | {"LAKEGATE_KILL": "all"}
            run = checks.pytest(f"{SERVICE}/test_harvest_{points}.py", environment=every)
            kills, writes = (run.figures.get(name, 0.0) for name in ("kills", "writes"))
            held = run.all_ran and 0 < writes == kills
            name = f"killed between any two writes{beside}, on {where}"
            checks.note(name, f"{kills:.0f} of {writes:.0f}", "all", held=held)


def shared(checks: Checks) -> None:
    """Run what shows that several gateways on one database share the work; and the other tests on PostgreSQL."""
    guarantees = [
        f"tests/seam/test_harvest_{name}.py"
        for name in ("clerk", "database", "enlisting", "job_pages", "query_plans", "taking")
    ]
    _shown(checks, "shared: one set of guarantees on both databases", *guarantees)
    _shown(checks, "shared: one politeness for all who read a site", "tests/seam/test_harvest_turns.py")
    _shown(checks, "shared: two gateways, one killed", f"{SERVICE}/test_harvest_gateways.py")
    names = ("copies", "rules", "faces", "lifetimes", "removed")
    files = [f"{SERVICE}/test_harvest_{name}.py" for name in names]
    run = checks.pytest(*files, environment=_on("postgresql"))
    checks.note("shared: orders, rules and copies on PostgreSQL", run, ALL, held=run.all_ran)


def elsewhere(checks: Checks) -> None:
    """Run what carries far from the gateway: by HTTP, on a real Dask Gateway, as Jobs on a real API server."""
    for name in ("far", "dask", "jobs"):
        run = checks.pytest(f"{SERVICE}/test_harvest_{name}.py", environment={"LAKEGATE_REQUIRE": "helm,kubernetes"})
        checks.note(f"elsewhere: {name}", run, ALL, held=run.all_ran)


def _on(database: str) -> dict[str, str]:
    return {"LAKEGATE_HARVEST_ON": database, "LAKEGATE_REQUIRE": "postgresql"}


def copies(checks: Checks) -> None:
    """Run what shows how long copies stay, and that the quota is the truth after."""
    _shown(checks, "copies: lifetimes, removal, storage given back", f"{SERVICE}/test_harvest_lifetimes.py")
    _shown(checks, "copies: placement sees them at once", "tests/service/compute/test_compute_after_harvest.py")


def faces(checks: Checks) -> None:
    """Run the faces: OGC API Processes, rules, webhooks, audits, metrics."""
    _shown(checks, "faces: processes, rules, webhooks, audits", f"{SERVICE}/test_harvest_faces.py")
    _shown(checks, "faces: lakegate harvest", f"{SERVICE}/test_harvest_command.py")
    _shown(checks, "faces: HOOK's filters, orders and archives", "tests/unit", "-k", "test_hook_")
    _shown(checks, "faces: HOOK's Tutorial, hostile orders, a killed gateway", "tests/service/hook")
    _shown(checks, "faces: politeness at a real server", f"{SERVICE}/test_harvest_politeness.py")


def benchmarks(checks: Checks) -> None:
    """Run the benchmark beside its peers, from and to nginx and real S3 services."""
    checks.packages("nginx-light")
    checks.benchmarks("harvest")


PARTS: dict[str, Callable[[Checks], None]] = {
    "rules": rules,
    "transfer": transfer,
    "killed": killed,
    "shared": shared,
    "elsewhere": elsewhere,
    "copies": copies,
    "faces": faces,
    "benchmarks": benchmarks,
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
