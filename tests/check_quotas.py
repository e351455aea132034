"""``make check-quotas``: shows identity and group quotas in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``. PostgreSQL and an OpenID
Connect server (node and npm) are required here: what cannot run is not shown.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from checking import Checks, Passed, main

EXAMPLES = os.environ.get("LAKEGATE_EXAMPLES", "17")
"""How many times more random lives than in the ordinary tests."""
LEAST_LIVES = 2_000
KILLED = "test_ledger_killed.py"
LIVES = ("test_ledger_model.py", "test_ledger_lives.py")
LONG = (KILLED, *LIVES)
ALL = "all pass, none skipped"
REQUIRED = {"LAKEGATE_REQUIRE": "postgresql,oidc"}


def identity(checks: Checks) -> None:
    """Run what shows who is let in: tokens of a real provider, our own, and the clients that send them."""
    unit = checks.pytest("tests/unit", "-k", "test_auth_", environment=REQUIRED)
    checks.note("identity: rules", unit, ALL, held=unit.all_ran)
    real = checks.pytest("tests/service/auth/test_auth_oidc.py", environment=REQUIRED)
    checks.note("identity: forged, expired, misaddressed, rotated tokens; real provider", real, ALL, held=real.all_ran)
    clients = checks.pytest("tests/service/auth/test_auth_clients.py", environment=REQUIRED)
    checks.note("identity: unmodified clients", clients, ALL, held=clients.all_ran)


def ledger(checks: Checks) -> None:
    """Run the contract of the ledger on every store, and kill it at each of its writes."""
    seam = checks.clone / "tests" / "seam"
    contract = [f"tests/seam/{path.name}" for path in sorted(seam.glob("test_ledger*.py")) if path.name not in LONG]
    run = checks.pytest("tests/unit/test_quota_rules.py", *contract, environment=REQUIRED)
    checks.note("ledger: one contract in memory, on SQLite and PostgreSQL", run, ALL, held=run.all_ran)
    killed = checks.pytest(f"tests/seam/{KILLED}", environment=REQUIRED | {"LAKEGATE_EXAMPLES": EXAMPLES})
    checks.note("ledger: killed at each of its writes", killed, ALL, held=killed.all_ran)
    raced = checks.pytest("tests/service/quotas", environment=REQUIRED)
    checks.note("ledger: several gateways on one PostgreSQL", raced, ALL, held=raced.all_ran)


def lives(checks: Checks) -> None:
    """Run the model tests with more random lives, each file in a process of its own."""
    environment = REQUIRED | {"LAKEGATE_EXAMPLES": EXAMPLES}

    def run(name: str) -> Passed:
        return checks.pytest(f"tests/seam/{name}", environment=environment)

    with ThreadPoolExecutor(len(LIVES)) as pool:
        runs = list(pool.map(run, LIVES))
    for name, done in zip(LIVES, runs, strict=True):
        checks.note(f"ledger: random lives hold what is guaranteed, {name}", done, ALL, held=done.all_ran)
    count = int(sum(done.figures.get("lives", 0) for done in runs))
    checks.note("ledger: random lives, of 20 steps each", count, f"at least {LEAST_LIVES}", held=count >= LEAST_LIVES)


def faces(checks: Checks) -> None:
    """Run what shows that every face charges, explains its refusals, and tells how things stand."""
    told = checks.pytest("tests/unit", "-k", "test_quota", environment=REQUIRED)
    checks.note("faces: refusals, surfaces, command line", told, ALL, held=told.all_ran)
    whole = checks.pytest("tests/service/quota_faces", environment=REQUIRED)
    checks.note("faces: quotas of a whole gateway", whole, ALL, held=whole.all_ran)
    every = checks.pytest("tests/service/compute/test_compute_quota_refusals.py")
    checks.note("faces: each refuses what is taken, and tells all about it", every, ALL, held=every.all_ran)
    words = "(quota or refusal or refused or trimmed) and not every_face"
    real = checks.pytest("tests/service/compute", "tests/service/harvest", "-k", words)
    checks.note("faces: refusals as real clients show them", real, "all pass", held=real.code == 0 and real.passed > 0)


PARTS: dict[str, Callable[[Checks], None]] = {
    "identity": identity,
    "ledger": ledger,
    "lives": lives,
    "faces": faces,
    "benchmarks": lambda checks: checks.benchmarks("quotas"),
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
