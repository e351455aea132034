"""The ``lakegate`` command as a user runs it: a process of its own."""

import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from lakegate_process import COMMAND, SECONDS, Ended, environment

TOKEN = "token-of-alice"


def lakegate(*arguments: str, **more: str) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**more), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


class House(NamedTuple):
    """The addresses of two gateways: one over a site that is there, one over it and another that is dead."""

    whole: str
    partial: str


class Served:
    """A server that a command runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def line(self) -> str:
        """Return the next line of its standard output; empty at its end."""
        return self._lines.get(timeout=SECONDS)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code


@contextmanager
def serving(*arguments: str, log: Path) -> Iterator[Served]:
    """Run a command that serves; standard error goes to a file."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        )
        served = Served(process)
        try:
            yield served
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(SECONDS)
            if process.stdout is not None:
                process.stdout.close()


def written(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a configuration file."""
    path.write_text(yaml.safe_dump(dict(content)))
    return path


def item(item_id: str, collection: str, day: int, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "collection": collection,
        "geometry": {"type": "Point", "coordinates": [11.0, 48.0]}, "bbox": [11.0, 48.0, 11.0, 48.0],
        "properties": {"datetime": f"2024-01-{day:02}T00:00:00Z", **properties},
        "assets": {"data": {"href": f"https://data.example/{item_id}.tif"}}, "links": [],
    }  # fmt: skip
