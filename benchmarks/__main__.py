"""``make bench [ARGS="search catalogue --quick"]``: runs the named benchmarks, or all of them."""

import argparse
import importlib
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.harness import Row, save, show

NAMES = ("search", "catalogue", "quotas", "federation", "profiles", "export", "harvest", "compute", "downloads", "hda")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Return 0 only if every target was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=[])
    parser.add_argument("--quick", action="store_true", help="smaller sizes: does it run, not what it reaches")
    arguments = parser.parse_args()
    console = Console(width=160)
    held = True
    for name in arguments.names or NAMES:
        module = importlib.import_module(f"benchmarks.bench_{name}")
        rows: list[Row] = module.run(quick=arguments.quick)
        show(name, rows, console)
        console.print(f"written to {save(name, rows, RESULTS)}")
        held = held and all(row.held for row in rows)
    return 0 if held or arguments.quick else 1


if __name__ == "__main__":
    sys.exit(main())
