"""What the checks in a fresh clone share: commands with their output shown, figures, and the figures last."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    name: str
    value: str
    target: str
    held: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.value} ({self.target})" + ("" if self.held else "  <- not reached")


@dataclass(frozen=True)
class Passed:
    """What a run of tests gave; ``figures`` are the properties that tests recorded, added up by name."""

    code: int
    passed: int
    skipped: int
    failed: int
    seconds: float
    figures: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.skipped} skipped, {self.failed} failed in {self.seconds:.0f} s"

    @property
    def all_ran(self) -> bool:
        """Whether every test ran and passed, and there were some."""
        return self.code == 0 and self.passed > 0 and self.skipped == 0 and self.failed == 0


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

    def install(self) -> None:
        """Make the environment, so that no other time holds it."""
        code, _, seconds = self.run("make", ".venv/.dev")
        self.note("installation", f"{seconds:.0f} s", "exit code 0", held=code == 0)

    def packages(self, *names: str) -> None:
        """Install packages of Debian that are missing, where we may: what benchmarks set beside us."""
        if os.geteuid() or shutil.which("apt-get") is None:
            return
        missing = [name for name in names if not _is_there(name)]
        if missing:
            self.run("apt-get", "update", "-q")
            self.run("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing)

    def pytest(self, *arguments: str, environment: dict[str, str] | None = None) -> Passed:
        """Run tests; return how many passed, and what they recorded."""
        handle, name = tempfile.mkstemp(prefix="report-", suffix=".xml", dir=self.clone.parent)
        os.close(handle)
        report = Path(name)  # of its own: runs may go side by side
        report.unlink()
        written = (f"--junitxml={report}", "-o", "junit_family=xunit1")  # the later family has no recorded properties
        command = (".venv/bin/python", "-m", "pytest", "-q", *written, *arguments)
        code, _, seconds = self.run(*command, environment=environment)
        return _read_report(report, code, seconds)

    def benchmarks(self, *names: str) -> None:
        """Run the named benchmarks (without names, all) and note what they reached beside their targets."""
        code, _, _ = self.run("make", "bench", *([f"ARGS={' '.join(names)}"] if names else []))
        for path in sorted((self.clone / "benchmarks" / "results").glob("*.json")):
            for row in json.loads(path.read_text()):
                value = f"{row['ours']:.3g} {row['unit']}, ratio {row['ratio']:.2f}"
                for beside in ("peer", "floor"):  # what others reach, and what this machine gives, in the same run
                    if row.get(beside) is not None:
                        value += f", {beside} {row[beside]:.3g} {row[f'{beside}_name']}"
                self.note(f"{path.stem}: {row['work']}", value, row["target"], held=row["held"])
        self.note("benchmarks: exit code", code, "0", held=code == 0)

    def lint(self) -> None:
        """Run the linters."""
        code, _, _ = self.run("make", "lint")
        self.note("lint: exit code", code, "0", held=code == 0)


def _is_there(package: str) -> bool:
    """Tell whether a package is installed, or the program that it is named after."""
    told = subprocess.run(["dpkg", "--status", package], capture_output=True, check=False)
    return told.returncode == 0 or shutil.which(package.removesuffix("-light")) is not None


def _read_report(report: Path, code: int, seconds: float) -> Passed:
    if not report.exists():
        return Passed(code, 0, 0, 0, seconds, {})
    root = ET.parse(report).getroot()  # noqa: S314 - pytest has just written it
    suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
    told = {
        name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "skipped", "failures", "errors")
    }
    failed = told["failures"] + told["errors"]
    figures: dict[str, float] = {}
    for each in root.iter("property"):
        name, value = each.get("name", ""), each.get("value", "")
        if re.fullmatch(r"\d+(\.\d+)?", value):
            figures[name] = figures.get(name, 0.0) + float(value)
    return Passed(code, told["tests"] - told["skipped"] - failed, told["skipped"], failed, seconds, figures)


def main(
    parts: Mapping[str, Callable[[Checks], None]], description: str | None, argv: Sequence[str] | None = None
) -> int:
    """Clone, install, check the parts that are named (without names, all); print the figures last.

    Return 0 only if every figure was reached.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=[], help="by default all")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lakegate-check-") as folder:
        clone = Path(folder) / "lakegate"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        checks = Checks(clone)
        if "LAKEGATE_DATA" not in os.environ and (ROOT.parent / "shared" / "data").is_dir():
            os.environ["LAKEGATE_DATA"] = str(ROOT.parent / "shared" / "data")
        checks.install()
        for name in arguments.parts or parts:
            parts[name](checks)
    print("\n" + "\n".join(str(figure) for figure in checks.figures))
    return 0 if all(figure.held for figure in checks.figures) else 1
