"""What is copied, by whom, and what it cost: one program at a time, its seconds, CPU and memory read at its end."""

import json
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Copy ``count`` objects of ``size`` bytes from a base URL or bucket to a bucket, so many at once.

    Everybody writes keys of the same folders (:func:`name_of`): a service that keeps them in files makes each folder.

    ``source`` is ``http://host:port/prefix`` or an S3 endpoint, by ``kind``; ``endpoint`` is the target's.
    """

    kind: str
    source: str
    endpoint: str
    count: int
    size: int
    at_once: int
    prefix: str = ""

    @property
    def gigabytes(self) -> float:
        """Return what moves, in GB."""
        return self.count * self.size / 1e9


def name_of(number: int) -> str:
    """Return what an object is called below a job's prefix: a folder for each item, and in it one for its asset."""
    return f"i{number}/data/o{number}"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of the wall clock and of CPU, and the most memory held at once by the program itself (bytes).

    ``count``: only so many of the job's objects were copied; 0: all.
    """

    seconds: float
    cpu: float
    memory: int
    count: int = 0

    def gigabytes(self, job: Job) -> float:
        """Return what was copied, in GB."""
        return (self.count or job.count) * job.size / 1e9

    def speed(self, job: Job) -> float:
        """Return MB per second."""
        return self.gigabytes(job) * 1000 / self.seconds


class ProgramFailed(Exception):
    """A program under measurement did not do its work."""


def measured(command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """Run a program to its end.

    A program that starts slowly, as Python does, may print ``{"seconds", "cpu"}`` of its work alone as its last line.

    Raises:
        ProgramFailed: it ended otherwise than well.
    """
    with log.open("wb") as output:
        started = time.monotonic()
        with subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | (environment or {})) as process:
            memory, status, usage = _watched(process.pid)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text(errors="replace").splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith('{"seconds"') else {}
    if process.returncode:
        raise ProgramFailed(f"{command[0]} ended with {process.returncode}: {' '.join(lines[-5:])[-500:]}")
    return Cost(
        seconds=told.get("seconds", seconds),
        cpu=told.get("cpu", usage.ru_utime + usage.ru_stime),
        memory=memory,
    )


def _watched(pid: int) -> tuple[int, int, resource.struct_rusage]:
    """Wait for a program; return its most memory in bytes, its status and its use of resources.

    ``ru_maxrss`` would tell of the process that started it too: it counts what there was before ``exec``.
    """
    memory = 0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return memory, status, usage
        memory = max(memory, _most_memory(pid) + sum(map(_own_memory, _children(pid))))
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """Return the processes that a program has started itself."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has just ended
        return []


def _most_memory(pid: int) -> int:
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024


def _own_memory(pid: int) -> int:
    """Return what a process holds now; what it shares with others (libraries, read once), by its share."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") * 1024


def _kilobytes(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
