"""``make check-hda``: shows harmonised data access in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Tests that need what is not there (node for the OpenID Connect server,
PostgreSQL) would skip; here a test that was skipped shows nothing.
"""

import sys
from collections.abc import Callable, Mapping

from checking import Checks, Passed, main

ALL = "all pass, none skipped"
HDA = "tests/service/hda"
WHOLE = {"LAKEGATE_DOWNLOAD_GB": "5", "LAKEGATE_SLOW_READERS": "1000"}
"""What by itself is tried in a smaller way."""
LARGEST_GROWTH = 48
"""MiB that a gateway may grow by while a large object passes."""
LARGEST_READER = 1024
"""KiB that a gateway may hold for a client that stops reading."""


def _shown(checks: Checks, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Passed:
    run = checks.pytest(*arguments, environment={"LAKEGATE_REQUIRE": "oidc", **(environment or {})})
    checks.note(name, run, ALL, held=run.all_ran)
    return run


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
    tunnel = "tests/service/tunnel/test_tunnel_downloads.py"
    _shown(checks, "downloads: from an edge that dials out only", tunnel)
    run = _shown(checks, "downloads: ranges, faults, many readers, stores", "tests/service/data", environment=WHOLE)
    told = run.figures
    size, growth = told.get("download_gb", 0.0), told.get("download_growth_mib", LARGEST_GROWTH)
    value = f"{size:.2f} GB, {growth:g} MiB more"
    target = f">= 5 GB, < {LARGEST_GROWTH} MiB more"
    checks.note("one large object: memory", value, target, held=size >= 5 and growth < LARGEST_GROWTH)
    readers, each = told.get("slow_readers", 0.0), told.get("slow_reader_kib", LARGEST_READER)
    value, target = f"{readers:.0f} readers, {each:g} KiB each", f">= 1000, < {LARGEST_READER} KiB each"
    held = readers >= 1000 and each < LARGEST_READER
    checks.note("readers that stop, while searches go on", value, target, held=held)


def contributed(checks: Checks) -> None:
    """Run collections of users and groups, roles, and who sees what."""
    _shown(checks, "collections of users: visibility, transactions, bulk, trees", "tests/service/contributed")
    _shown(checks, "items written together at a site, or told how far", "tests/service/site/test_site_batches.py")
    _shown(checks, "roles, of tokens of a real provider", "tests/service/auth/test_auth_roles.py")


def benchmarks(checks: Checks) -> None:
    """Run the benchmarks, those of downloads beside nginx."""
    checks.packages("nginx-light")
    checks.benchmarks("hda", "downloads")


PARTS: dict[str, Callable[[Checks], None]] = {
    "face": face,
    "orders": orders,
    "clients": clients,
    "downloads": downloads,
    "contributed": contributed,
    "benchmarks": benchmarks,
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
