"""``make check-search``: shows the harmonised search in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``. The benchmark's peers (nginx,
stac-fastapi-pgstac on PostgreSQL with PostGIS, stac-fastapi-eodag) are required: what is not measured is not shown.
"""

import os
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


SENTENCES: dict[str, tuple[str, ...]] = {
    "a walk is the sorted, filtered, de-duplicated union, whatever sites, failures, page sizes and queries": (
        "tests/unit/test_search_federation.py", "tests/unit/test_search_copies.py",
        "tests/unit/test_search_going_on.py", "tests/service/gateway/test_gateway_properties.py",
    ),
    "what is pushed down gives what is evaluated here": (
        "tests/seam/test_catalogue.py", "tests/seam/test_catalogue_random.py", "tests/seam/test_catalogue_sqlite.py",
        "tests/unit/test_profiles_translation.py", "tests/unit/test_stac_cql2.py",
    ),
    "POST is GET, and a gateway that federates a gateway gives the same": (
        "tests/unit/test_stac_request.py", "tests/service/gateway/test_gateway_composed.py",
        "tests/service/gateway/test_gateway_circle.py",
    ),
    "a cursor has at most 400 characters, whatever it holds": ("tests/unit/test_search_cursor.py",),
}  # fmt: skip
"""What has to be shown, and by which tests, with more examples than usual."""


def properties(checks: Checks) -> None:
    """Show each sentence by its tests, with more examples."""
    for sentence, where in SENTENCES.items():
        run = checks.pytest(*where, environment={"LAKEGATE_EXAMPLES": EXAMPLES})
        checks.note(sentence, run, f"{ALL}, {EXAMPLES} times the examples", held=run.all_ran)


SERVED: dict[str, tuple[str, ...]] = {
    "real catalogues federate, and each labelled scene comes out once": (
        "tests/service/gateway/test_gateway_walk.py", "tests/service/gateway/test_gateway_copies.py",
        "tests/service/gateway/test_gateway_search.py", "tests/service/gateway/test_gateway_harmonised.py",
    ),
    "unmodified clients: stac-api-validator, pystac-client, eodag, rustac": (
        "tests/service/gateway/test_gateway_real_clients.py",
    ),
    "limits for hostile sites and clients": (
        "tests/service/gateway/test_gateway_hostile.py", "tests/service/gateway/test_gateway_poison.py",
        "tests/service/gateway/test_gateway_clients.py", "tests/service/gateway/test_gateway_signatures.py",
    ),
}  # fmt: skip
"""What the gateway shows over real sites; all other tests of it are one more point."""


def service(checks: Checks) -> None:
    """Run the gateway over real sites, hostile ones, real catalogues, and unmodified clients."""
    for sentence, where in SERVED.items():
        run = checks.pytest(*where)
        checks.note(sentence, run, ALL, held=run.all_ran)
    shown = {place for where in (*SENTENCES.values(), *SERVED.values()) for place in where}
    left = [f"--ignore={place}" for place in sorted(shown) if place.startswith("tests/service/gateway/")]
    run = checks.pytest("tests/service/gateway", "tests/service/site", *left)
    checks.note("partial answers, explain, export, aggregation, hubs, sites of our own", run, ALL, held=run.all_ran)


def benchmarks(checks: Checks) -> None:
    """Run the benchmarks beside their peers."""
    checks.packages(*PEERS)
    checks.benchmarks("search", "catalogue", "export", "federation")


PARTS: dict[str, Callable[[Checks], None]] = {
    "words": words, "properties": properties, "service": service, "benchmarks": benchmarks,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
