"""A private PostgreSQL server for tests and benchmarks, at a socket in a folder of its own: it needs no port."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
DURABLE = ("fsync=on", "synchronous_commit=on")
_PORT = 5432  # only a part of the socket's name


def program(name: str) -> str | None:
    """Find one of the server's programs."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[-3]), reverse=True)
    return str(newest[0]) if newest else shutil.which(name)


def missing() -> str:
    """Say why there can be no server; empty where there can."""
    absent = [name for name in ("initdb", "postgres") if program(name) is None]
    if absent:
        return f"no {' and '.join(absent)}: install PostgreSQL (on Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL refuses root, and there is neither a user postgres nor nobody"
    return ""


def _unprivileged() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


@contextmanager
def running_postgresql(settings: tuple[str, ...] = FAST) -> Iterator[str]:
    """Run a server while the context lasts; yield its DSN, over the socket folder."""
    folder = Path(tempfile.mkdtemp(prefix="lakegate-pg-", dir="/tmp"))
    user = _unprivileged() if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    as_user: dict[str, Any] = (
        {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user is not None else {}
    )
    try:
        data = folder / "data"
        initdb = [str(program("initdb")), "-D", str(data), "-U", "lakegate", "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*initdb, "--locale=C", "--no-sync"], check=True, cwd=folder, stdout=subprocess.DEVNULL, **as_user
        )
        options = ("listen_addresses=", f"port={_PORT}", f"unix_socket_directories={folder}")
        flags = [flag for each in (*options, "max_connections=200", *settings) for flag in ("-c", each)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(program("postgres")), "-D", str(data), *flags], cwd=folder, stderr=log, stdout=log, **as_user
            )
        try:
            _wait(server, folder)
            yield f"postgresql://lakegate@/postgres?host={folder}&port={_PORT}"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    ready = [str(program("pg_isready") or "pg_isready"), "-q", "-h", str(folder), "-p", str(_PORT), "-t", "1"]
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2_000:]}")
        if subprocess.run(ready, check=False).returncode == 0:
            return
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError("PostgreSQL did not start in time")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The DSN of a server of this test run; skips where there can be none, but where it is required."""
    reason = missing()
    if reason:
        if "postgresql" in os.environ.get("LAKEGATE_REQUIRE", ""):
            pytest.fail(reason)
        pytest.skip(reason)
    with running_postgresql() as dsn:
        yield dsn
