"""``make check-compute``: shows in a fresh clone that compute goes to the data, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``.
"""

import sys
from collections.abc import Callable

from checking import Checks, main

POINTS = {
    "placement: decided and explained": ("tests/unit/test_placement_rank.py", "tests/unit/test_placement_placer.py"),
    "clusters: an unmodified client at two real edges": ("tests/service/compute/test_compute_dask_face.py",),
    "clusters: lost answers, crashes, orphans, edges lost and back": (
        "tests/service/compute/test_compute_dask_faults.py",
        "tests/service/compute/test_compute_dask_kill.py",
    ),
    "clusters and kernels: they outlive a gateway that is killed": (
        "tests/service/compute/test_compute_gateway_killed.py",
    ),
    "clusters: refusals, late starts and caps in words": (
        "tests/service/compute/test_compute_dask_words.py",
        "tests/service/compute/test_compute_quota_refusals.py",
    ),
    "clusters: waiting for room, in order": ("tests/service/compute/test_compute_dask_waiting.py",),
    "clusters: 50 at once, two users, HTTPS, dashboards of their own origin": (
        "tests/service/compute/test_compute_dask_many.py",
        "tests/service/compute/test_compute_dask_dashboard.py",
    ),
    "clusters: GPUs reserved and kept to": (
        "tests/unit/test_compute_gpus.py",
        "tests/service/compute/test_compute_dask_gpus.py",
    ),
    "comms: local where the cluster is local": (
        "tests/service/compute/test_compute_dask_local_comms.py",
        "tests/service/compute/test_compute_router_command.py",
    ),
    "edges that dial out only": (
        "tests/service/tunnel",
        "tests/service/compute/test_compute_dask_tunnel.py",
    ),
    "kernels: a real Jupyter server at two real edges": (
        "tests/service/compute/test_compute_kernel_face.py",
        "tests/service/compute/test_compute_kernel_lives.py",
        "tests/service/compute/test_compute_kernel_ends.py",
    ),
    "kernels: a cell's cluster at its own edge": ("tests/service/compute/test_compute_dask_from_a_kernel.py",),
    "one computation over several edges": (
        "tests/unit/test_compute_client_parts.py",
        "tests/service/compute/test_compute_over_edges.py",
        "tests/service/compute/test_compute_over_whole_gateway.py",
    ),
}
"""What must hold, and the tests that show it."""


def points(checks: Checks) -> None:
    """Run the tests of each point."""
    for name, files in POINTS.items():
        passed = checks.pytest(*files)
        checks.note(name, passed, "all run and pass", held=passed.all_ran)


def enterprise(checks: Checks) -> None:
    """Run a kernel at a real Enterprise Gateway, in an environment of its own."""
    required = {"LAKEGATE_REQUIRE": "enterprise-gateway"}
    passed = checks.pytest("tests/service/compute/test_compute_kernel_enterprise.py", "-rs", environment=required)
    target = "passes, or says why it cannot be installed"
    checks.note("kernels: a real Enterprise Gateway", passed, target, held=passed.code == 0)


def units(checks: Checks) -> None:
    """Run all other tests of this room."""
    files = sorted(checks.clone.glob("tests/unit/test_compute_*.py"))
    passed = checks.pytest(*(str(file.relative_to(checks.clone)) for file in files))
    checks.note("unit tests of compute", passed, "all run and pass", held=passed.all_ran)


def demo(checks: Checks) -> None:
    """Run the demo's tour, whose edges are processes of their own, with clusters and kernels among them."""
    passed = checks.pytest("tests/e2e", "-k", "not killing_any_process")
    checks.note("end to end", passed, "all run and pass", held=passed.all_ran)


def benchmark(checks: Checks) -> None:
    """Run the benchmark of compute."""
    checks.benchmarks("compute")


PARTS: dict[str, Callable[[Checks], None]] = {
    "points": points,
    "enterprise": enterprise,
    "units": units,
    "demo": demo,
    "lint": Checks.lint,
    "benchmark": benchmark,
}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
