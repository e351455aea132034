"""The benchmarks start where only the checkout's root is known, as ``make bench`` starts them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTS = """
import importlib
from benchmarks.__main__ import NAMES
for name in NAMES:
    importlib.import_module(f"benchmarks.bench_{name}")
"""


def test_every_benchmark_can_be_imported_without_the_folders_of_the_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
