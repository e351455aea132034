"""``make check-main``: shows the whole main job in a fresh clone, and prints the figures last.

Exit code 0 only if every point holds. Each figure is one line, ``name: value (target)``.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VICTIMS = (
    "edge-a/s3,edge-b/s3,hub/files,edge-a/items,edge-b/items,hub/items,edge-a/dask,edge-b/dask,"
    "kernel_gateway,gateway.yaml,gateway.demo.tour"
)
"""What the command lines of the demo's processes hold: each is killed once."""


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    name: str
    value: str
    target: str
    held: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.value} ({self.target})" + ("" if self.held else "  <- not reached")


class Checks:
    """Runs commands in the clone and keeps the figures."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        self.figures: list[Figure] = []

    def note(self, name: str, value: object, target: str, *, held: bool) -> None:
        """Keep a figure."""
        self.figures.append(Figure(name, str(value), target, held))
        print(f"== {self.figures[-1]}", flush=True)

    def run(self, *command: str, environment: dict[str, str] | None = None) -> tuple[int, str, float]:
        """Run a command in the clone, showing its output; return exit code, output and seconds."""
        print(f"== {' '.join(command)}", flush=True)
        started = time.monotonic()
        lines = []
        with subprocess.Popen(
            command,
            cwd=self.clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | (environment or {}),
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                sys.stdout.write(line)
                sys.stdout.flush()
        return process.returncode, "".join(lines), time.monotonic() - started


def install(checks: Checks) -> None:
    """Make the environment, so that the demo's time is without it."""
    code, _, seconds = checks.run("make", ".venv/.dev")
    checks.note("installation", f"{seconds:.0f} s", "exit code 0", held=code == 0)


def demo(checks: Checks) -> None:
    """Run the demo twice."""
    for name in ("demo", "demo again"):
        code, output, seconds = checks.run("make", "demo", "ONCE=1", f"PORT={_free_port()}", environment=_home(checks))
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


def benchmarks(checks: Checks) -> None:
    """Run the benchmarks with their targets."""
    code, _, _ = checks.run("make", "bench")
    for path in sorted((checks.clone / "benchmarks" / "results").glob("*.json")):
        for row in json.loads(path.read_text()):
            value = f"{row['ours']:.3g} {row['unit']}, ratio {row['ratio']:.2f}"
            checks.note(f"{path.stem}: {row['work']}", value, row["target"], held=row["held"])
    checks.note("benchmarks: exit code", code, "0", held=code == 0)


def lint(checks: Checks) -> None:
    """Run the linters."""
    code, _, _ = checks.run("make", "lint")
    checks.note("lint: exit code", code, "0", held=code == 0)


PARTS: dict[str, Callable[[Checks], None]] = {
    "demo": demo, "kills": kills, "tests": tests, "lint": lint, "benchmarks": benchmarks,
}  # fmt: skip


def main() -> int:
    """Clone, install, check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], help="by default all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakegate-check-") as folder:
        clone = Path(folder) / "lakegate"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        checks = Checks(clone)
        if "LAKEGATE_DATA" not in os.environ and (ROOT.parent / "shared" / "data").is_dir():
            os.environ["LAKEGATE_DATA"] = str(ROOT.parent / "shared" / "data")
        install(checks)
        for name in arguments.parts or PARTS:
            PARTS[name](checks)
    print("\n" + "\n".join(str(figure) for figure in checks.figures))
    return 0 if all(figure.held for figure in checks.figures) else 1


def _home(checks: Checks) -> dict[str, str]:
    """Keep the demo's state below the clone, so that one that runs beside is not disturbed."""
    return {"XDG_STATE_HOME": str(checks.clone.parent / "state")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
