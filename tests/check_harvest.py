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
    others = ("rules", "faces", "lifetimes", "killed", "removed")
    rest = [
        f"{SERVICE}/{name}" for name in seen if name.removeprefix("test_harvest_").removesuffix(".py") not in others
    ]
    _shown(checks, "transfer: hostile sources, every byte right", *rest)


def killed(checks: Checks) -> None:
    """Kill the process after each of its writes, of a harvest and of a removal."""
    _shown(checks, "killed after each write", f"{SERVICE}/test_harvest_killed.py", f"{SERVICE}/test_harvest_removed.py")


def copies(checks: Checks) -> None:
    """Run what shows how long copies stay, and that the quota is the truth after."""
    _shown(checks, "copies: lifetimes, removal, storage given back", f"{SERVICE}/test_harvest_lifetimes.py")


def faces(checks: Checks) -> None:
    """Run the faces: OGC API Processes, rules, webhooks, audits, metrics."""
    _shown(checks, "faces: processes, rules, webhooks, audits", f"{SERVICE}/test_harvest_faces.py")


PARTS: dict[str, Callable[[Checks], None]] = {
    "rules": rules,
    "transfer": transfer,
    "killed": killed,
    "copies": copies,
    "faces": faces,
    "benchmarks": lambda checks: checks.benchmarks("harvest"),
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
