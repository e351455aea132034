"""Programs under measurement: started, waited for, their CPU seconds and memory read, ended."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import yaml

from benchmarks.federation.items import item

START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_SCHEDULED = 2
"""The clock of a process that counts what it ran (``CPUCLOCK_SCHED`` in Linux)."""


class Program:
    """A running program with its children, at a URL."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str) -> None:
        self.url = url
        self._process = psutil.Process(process.pid)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return user and system seconds of the program and its living children so far.

        By the clocks of processes (``clock_getcpuclockid``), whose numbers Linux makes of process ids: what ``/proc``
        tells is rounded to 10 ms, which is as much as many calls to nginx take.
        """
        processes = [self._process, *self._process.children(recursive=True)]
        return sum(time.clock_gettime(~process.pid << 3 | _SCHEDULED) for process in processes)

    def resident_bytes(self) -> int:
        """Return the resident memory of the program itself."""
        return int(self._process.memory_info().rss)


@contextmanager
def running(
    command: Sequence[str], *, url: str, log: Path, ready: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a program while the context lasts; it stands once ``url + ready`` answers.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message holds the end of its log.
    """
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | (environment or {})) as process,
    ):
        try:
            _wait(process, url + ready, log)
            yield Program(process, url)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # a loopback URL that we made
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer; its log ends with:\n{log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def dumb_site(site: int, folder: Path, *, items: int, delay: float = 0.0) -> Iterator[Program]:
    """Run a site whose answers cost next to nothing."""
    port = free_port()
    module = [sys.executable, "-m", "benchmarks.federation.dumb_site"]
    arguments = ["--site", site, "--port", port, "--items", items, "--delay", delay]
    command = [*module, *map(str, arguments)]
    with running(command, url=f"http://127.0.0.1:{port}", log=folder / f"site-{port}.log") as program:
        yield program


@contextmanager
def prototype(sites: Sequence[str], folder: Path) -> Iterator[Program]:
    """Run the bare technique over sites, by URL: the floor of a gateway."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.federation.prototype", "--port", str(port), *sites]
    with running(command, url=f"http://127.0.0.1:{port}", log=folder / f"prototype-{port}.log") as program:
        yield program


@contextmanager
def gateway(sites: Mapping[str, str], folder: Path) -> Iterator[Program]:
    """Run a gateway over sites (id: URL) with a token, a quota on requests, and every check on."""
    port = free_port()
    home = folder / f"gateway-{port}"
    home.mkdir()
    (home / "token").write_text(TOKEN)
    config = {
        "server": {"port": port, "state": str(home / "state")},
        "auth": {
            "anonymous": "none",
            "tokens": [{"user": "alice", "groups": ["lab/earth"], "token": {"file": str(home / "token")}}],
        },
        "quotas": {
            "policies": [
                {
                    "name": "searches", "group": "lab", "resource": "requests", "kind": "rate",
                    "amount": 1_000_000, "window_seconds": 1,
                }
            ]
        },
        "sites": [{"id": site, "kind": "hub", "catalogue": {"url": url}} for site, url in sites.items()],
    }  # fmt: skip
    path = home / "lakegate.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [
        str(Path(sys.executable).with_name("lakegate")),
        "serve",
        "--config",
        str(path),
        "--log-level",
        "WARNING",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, url=url, log=home / "log") as program:
        yield program


@contextmanager
def embedded_site(site: int, folder: Path, *, items: int) -> Iterator[Program]:
    """Run ``lakegate site serve`` over items of its own."""
    port = free_port()
    path = folder / f"items-{port}.ndjson"
    path.write_bytes(b"\n".join(msgspec.json.encode(item(site, number)) for number in range(items)))
    command = [str(Path(sys.executable).with_name("lakegate")), "site", "serve", "--items", str(path)]
    url = f"http://127.0.0.1:{port}"
    with running([*command, "--port", str(port)], url=url, log=folder / f"site-{port}.log") as program:
        yield program


TOKEN = "the-token-of-the-benchmark"  # noqa: S105  # it opens a gateway that lives for minutes on loopback
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
