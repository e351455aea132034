"""The demo as a process of its own, watched through what it prints."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from free_ports import free_port

LAKEGATE = [sys.executable, "-m", "gateway"]
UP = "Everything is up."
START_SECONDS = 600.0
"""A bound for machines that have much else to do; on a quiet one it takes less than a minute."""


class Demo:
    """``lakegate demo`` in ``folder``; ``until`` waits for a line, ``end`` for the exit code."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [*LAKEGATE, "demo", "--dir", str(folder), "--port", str(self.port), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"COLUMNS": "400", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._fresh.put(line)
        self._fresh.put(None)

    def until(self, text: str) -> None:
        """Wait for a line that holds ``text``."""
        end = time.monotonic() + START_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                line = self._fresh.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            if text in line:
                return
        raise AssertionError(f"{text!r} did not come; the demo said:\n{self.output}")

    def end(self, *, seconds: float = START_SECONDS) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(timeout=seconds)
        self._reader.join(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def pid_of(self, name: str) -> int:
        """Return the process id of one of its programs, by what its command line holds."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if name in " ".join(process.cmdline()):
                return process.pid
        raise AssertionError(f"no process with {name!r} in its command line")

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.interrupt()
            try:
                self.end(seconds=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        elif self.process.stdout is not None:
            self._reader.join(timeout=10)
            self.process.stdout.close()


def left_running(folder: Path) -> list[str]:
    """Return the command lines of processes that still belong to a demo in ``folder``."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(folder) in command:
            found.append(command)
    return found


def gone(folder: Path, *, seconds: float = 30.0) -> bool:
    """Tell whether nothing of the demo is left, at the latest after so long."""
    end = time.monotonic() + seconds
    while left_running(folder):
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.1)
    return True
