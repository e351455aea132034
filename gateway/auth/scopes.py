"""Which scope a request needs: the table of all routes. Pure.

A token may be restricted to some scopes. What is not in the table is closed to restricted tokens, so that a new
face is reached by them only once somebody has said with which scope.
"""

from collections.abc import Sequence

from gateway.auth.identity import Forbidden, Scope

READING = ("GET", "HEAD", "OPTIONS")

TABLE: tuple[tuple[str, Scope, Scope], ...] = (
    ("/admin", "admin", "admin"),
    ("/quotas/policies", "read", "admin"),
    ("/quotas/grants", "read", "admin"),
    ("/quotas", "read", "read"),
    ("/auth", "read", "read"),
    ("/api/version", "read", "read"),
    ("/api/health", "read", "read"),
    ("/api/v1", "compute", "compute"),
    ("/api/kernelspecs", "read", "compute"),
    ("/api/kernels", "compute", "compute"),
    ("/api", "read", "admin"),
    ("/kernelspecs", "read", "compute"),
    ("/clusters", "compute", "compute"),
    ("/dask", "compute", "compute"),
    ("/bridges.json", "read", "admin"),
    ("/edges", "admin", "admin"),  # edges show a secret of their own, no token
    ("/placement", "read", "read"),
    ("/processes", "read", "harvest"),
    ("/jobs", "read", "harvest"),
    ("/harvests", "read", "harvest"),
    ("/harvest-runs", "admin", "admin"),  # far workers show a token of their run, none of a user
    ("/odata", "read", "harvest"),
    ("/search", "read", "read"),
    ("/collections", "read", "harvest"),
    ("/contributed", "read", "harvest"),
    ("/catalogs", "read", "read"),
    ("/children", "read", "admin"),
    ("/aggregate", "read", "read"),
    ("/aggregations", "read", "read"),
    ("/stac", "read", "read"),
    ("/services", "read", "admin"),
    ("/data", "read", "read"),
    ("/access", "read", "read"),
    ("/conformance", "read", "admin"),
    ("/queryables", "read", "admin"),
    ("/sortables", "read", "admin"),
    ("/collections-queryables", "read", "admin"),
    ("/collections-sortables", "read", "admin"),
    ("/api.html", "read", "admin"),
    ("/sites", "read", "admin"),
    ("/health", "read", "admin"),
    ("/livez", "read", "admin"),
    ("/readyz", "read", "admin"),
    ("/metrics", "read", "admin"),
)
"""Path and all below it, the scope to read there, and the scope to do anything else. The first that fits counts."""


def needed_scope(method: str, path: str) -> Scope | None:
    """Return the scope that a request needs; None where the table does not know the path."""
    if path == "/":
        return "read" if method in READING else None
    for root, reading, writing in TABLE:
        if path == root or path.startswith(root + "/"):
            return reading if method in READING else writing
    return None


def check_scope(scopes: Sequence[Scope], method: str, path: str) -> None:
    """Check that restricted credentials may make a request; every token may read.

    Raises:
        Forbidden: they may not; the message names the scope that is missing.
    """
    if not scopes:
        return
    needed = needed_scope(method, path)
    if needed == "read" or needed in scopes:
        return
    missing = "credentials without restriction" if needed is None else f"the scope {needed!r}"
    raise Forbidden(f"this token is restricted to {', '.join(scopes)}; this needs {missing}")
