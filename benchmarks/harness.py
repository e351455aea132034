"""How a benchmark says what it measured: rows, a table for people, JSON for machines."""

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. ``ratio`` is what ``target`` speaks of; ``held`` tells whether it was reached."""

    work: str
    unit: str
    ours: float
    ratio: float
    target: str
    held: bool
    peer: float | None = None
    peer_name: str = ""
    floor: float | None = None
    floor_name: str = ""


def interleaved(functions: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each function, run in turns so that noise falls on all alike."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    gc.freeze()  # else each collection below walks all modules, and leaves the caches cold for who comes next
    for _ in range(rounds):
        for name, function in functions.items():
            gc.collect()
            started = time.process_time_ns()
            function()
            samples[name].append((time.process_time_ns() - started) / 1e6)
    gc.unfreeze()
    return {name: statistics.median(values) for name, values in samples.items()}


def show(title: str, rows: list[Row], console: Console) -> None:
    """Print the table."""
    table = Table("work", "ours", "peer", "floor", "ratio", "target", "held", title=title)
    for row in rows:
        table.add_row(
            row.work,
            f"{row.ours:,.3g} {row.unit}",
            f"{row.peer:,.3g} {row.peer_name}" if row.peer is not None else "",
            f"{row.floor:,.3g} {row.floor_name}" if row.floor is not None else "",
            f"{row.ratio:.2f}",
            row.target,
            "yes" if row.held else "NO",
        )
    console.print(table)


def save(name: str, rows: list[Row], folder: Path) -> Path:
    """Write the rows as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return path
