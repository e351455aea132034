"""Real stac-fastapi-pgstac sites on one PostgreSQL server of our own."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks.federation.items import COLLECTION, item
from benchmarks.federation.peers import PGSTAC, PeerMissing, environment_of
from benchmarks.federation.processes import Program, free_port, running
from edges.model import Json

_SETTINGS = """listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 256MB
"""


@contextmanager
def pgstac_sites(folder: Path, *, sites: int, items: int) -> Iterator[list[Program]]:
    """Run stac-fastapi-pgstac sites of ``items`` items each; yields their HTTP servers.

    Raises:
        PeerMissing: PostgreSQL, PostGIS or the packages are not installed.
    """
    binaries = environment_of("pgstac", PGSTAC)
    with _postgresql(folder) as port, ExitStack() as stack:
        programs = []
        for site in range(sites):
            environment = _database(port, f"site{site}")
            _load(binaries, folder, environment, site=site, items=items)
            programs.append(stack.enter_context(_site(binaries, folder, environment)))
        yield programs


@contextmanager
def _postgresql(folder: Path) -> Iterator[int]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = shutil.which("initdb") if not found else str(found[-1])
    if program is None:
        raise PeerMissing("PostgreSQL is not installed; on Debian: apt-get install postgresql-15-postgis-3")
    binaries, home, port = Path(program).resolve().parent, folder / "postgresql", free_port()
    home.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        folder.chmod(0o755)
        shutil.chown(home, "postgres")
    data = home / "data"
    initdb = [
        str(binaries / "initdb"),
        "-D",
        str(data),
        "-U",
        "lakegate",
        "-A",
        "trust",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    _quietly([*as_user, *initdb])
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(f"{_SETTINGS}port = {port}\nunix_socket_directories = '{home}'\n")
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    _quietly([*control, "-l", str(home / "log"), "start"])
    try:
        yield port
    finally:
        _quietly([*control, "-m", "immediate", "stop"])


def _database(port: int, name: str) -> dict[str, str]:
    """Make a database with PostGIS; return the environment by which libpq finds it."""
    found = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "lakegate", "PGPASSWORD": "-", "PGDATABASE": name}
    _quietly(["createdb", name], found | {"PGDATABASE": "postgres"})
    try:
        _quietly(["psql", "-q", "-c", "create extension if not exists postgis"], found)
    except subprocess.CalledProcessError as error:
        raise PeerMissing("PostGIS is not installed; on Debian: apt-get install postgresql-15-postgis-3") from error
    return found


def _load(binaries: Path, folder: Path, environment: dict[str, str], *, site: int, items: int) -> None:
    collection = {
        "type": "Collection", "id": COLLECTION, "stac_version": "1.0.0", "description": "Synthetic scenes",
        "license": "other", "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }  # fmt: skip
    found = [item(site, number) for number in range(items)]
    files: dict[str, list[Json]] = {"collections": [collection], "items": found}
    program = str(binaries / "pypgstac")
    _quietly([program, "migrate"], environment)
    for kind, members in files.items():
        path = folder / f"{kind}-{site}.ndjson"
        path.write_bytes(b"\n".join(msgspec.json.encode(each) for each in members))
        _quietly([program, "load", kind, str(path), "--method", "upsert"], environment)


@contextmanager
def _site(binaries: Path, folder: Path, environment: dict[str, str]) -> Iterator[Program]:
    port = free_port()
    command = [
        str(binaries / "uvicorn"), "stac_fastapi.pgstac.app:create_app", "--factory",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    log = folder / f"pgstac-{port}.log"
    with running(command, url=f"http://127.0.0.1:{port}", log=log, environment=environment) as program:
        yield program


def _quietly(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only where it fails."""
    done = subprocess.run(
        command, env=os.environ | (environment or {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        print(done.stdout.decode(errors="replace")[-2000:])
        done.check_returncode()
