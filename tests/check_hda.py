"""``make check-hda``: shows harmonised data access in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Tests that need what is not there (node for the OpenID Connect server,
PostgreSQL) would skip; here a test that was skipped shows nothing.
"""

import sys
from collections.abc import Callable

from checking import Checks, main

ALL = "all pass, none skipped"
HDA = "tests/service/hda"


def _shown(checks: Checks, name: str, *arguments: str) -> None:
    run = checks.pytest(*arguments, environment={"LAKEGATE_REQUIRE": "oidc"})
    checks.note(name, run, ALL, held=run.all_ran)


def face(checks: Checks) -> None:
    """Run the words of HDA, and searches, collections, queryables and errors over real sites."""
    _shown(checks, "words: searches, pins, tokens, bodies of orders", "tests/unit", "-k", "test_hda_")
    _shown(
        checks,
        "face: collections, search in all forms, queryables, errors",
        f"{HDA}/test_hda_search.py",
        f"{HDA}/test_hda_queryables.py",
        f"{HDA}/test_hda_manners.py",
    )


def orders(checks: Checks) -> None:
    """Run orders: shared, told, refused; killed in the middle; of several gateways; of a STAC API and of EODAG."""
    _shown(
        checks,
        "orders: STAC, EODAG and tape, shared, told, killed, two gateways",
        f"{HDA}/test_hda_orders.py",
        f"{HDA}/test_hda_order_lives.py",
        f"{HDA}/test_hda_eodag_site.py",
        f"{HDA}/test_hda_restores.py",
    )


def clients(checks: Checks) -> None:
    """Run the clients: EODAG with its own provider, and what notebooks do."""
    _shown(checks, "eodag with its provider dedl, a real OpenID Connect server", f"{HDA}/test_hda_eodag.py")
    _shown(checks, "sequences of notebooks 1 to 8", f"{HDA}/test_hda_notebooks.py")


def downloads(checks: Checks) -> None:
    """Run downloads: ranges, killed in the middle, slow readers, hostile sites, 5 GB with flat memory."""
    _shown(checks, "downloads: what decides", "tests/unit", "-k", "test_data_")
    _shown(checks, "downloads: ranges, faults, many readers, stores", "tests/service/data")


def contributed(checks: Checks) -> None:
    """Run collections of users and groups, roles, and who sees what."""
    _shown(checks, "collections of users: visibility, transactions, bulk, trees", "tests/service/contributed")


PARTS: dict[str, Callable[[Checks], None]] = {
    "face": face,
    "orders": orders,
    "clients": clients,
    "downloads": downloads,
    "contributed": contributed,
    "benchmarks": lambda checks: checks.benchmarks("hda", "downloads"),
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
