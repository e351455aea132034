"""``make check-main``: shows the whole main job in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``.
"""

import re
import sys
from collections.abc import Callable

from checking import Checks, main
from free_ports import free_port

VICTIMS = (
    "edge-a/s3,edge-b/s3,hub/files,edge-a/items,edge-b/items,hub/items,edge-a/dask,edge-b/dask,"
    "kernel_gateway,gateway.yaml,gateway.demo.tour"
)
"""What the command lines of the demo's processes hold: each is killed once."""


def demo(checks: Checks) -> None:
    """Run the demo twice."""
    for name in ("demo", "demo again"):
        code, output, seconds = checks.run("make", "demo", "ONCE=1", f"PORT={free_port()}", environment=_home(checks))
        held = len(re.findall(r"^    held in", output, re.MULTILINE))
        checks.note(f"{name}: exit code", code, "0", held=code == 0)
        checks.note(f"{name}: steps held", held, "5", held=held == 5)
        checks.note(f"{name}: time", f"{seconds:.0f} s", "under 180 s", held=seconds < 180)


def tests(checks: Checks) -> None:
    """Run all tests twice."""
    for name in ("tests", "tests again"):
        code, output, seconds = checks.run("make", "test")
        summary = re.findall(r"(\d+ (?:passed|failed|error|skipped))", output[-2000:])
        checks.note(name, f"{', '.join(summary)} in {seconds:.0f} s", "exit code 0", held=code == 0)


def kills(checks: Checks) -> None:
    """Kill each of the demo's processes once during the tour."""
    code, output, _ = checks.run(
        ".venv/bin/python", "-m", "pytest", "-q", "tests/e2e", "-k", "killing_any_process",
        environment={"LAKEGATE_KILL": VICTIMS},
    )  # fmt: skip
    passed = sum(int(count) for count in re.findall(r"(\d+) passed", output[-500:]))
    wanted = len(VICTIMS.split(","))
    checks.note("killed processes reported", passed, str(wanted), held=code == 0 and passed == wanted)


PARTS: dict[str, Callable[[Checks], None]] = {
    "demo": demo, "kills": kills, "tests": tests, "lint": Checks.lint, "benchmarks": Checks.benchmarks,
}  # fmt: skip


def _home(checks: Checks) -> dict[str, str]:
    """Keep the demo's state below the clone, so that one that runs beside is not disturbed."""
    return {"XDG_STATE_HOME": str(checks.clone.parent / "state")}


if __name__ == "__main__":
    sys.exit(main(PARTS, __doc__))
