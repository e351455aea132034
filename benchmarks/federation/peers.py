"""The peers: installed into a cache folder outside the project, started beside us, absent with a reason."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.federation.items import COLLECTION
from benchmarks.federation.processes import Program, free_port, running

PGSTAC = ("stac-fastapi.pgstac==7.2.0", "pypgstac[psycopg]==0.10.0", "uvicorn")
EODAG = ("stac-fastapi-eodag==0.6.1", "uvicorn")


class PeerMissing(Exception):
    """A peer cannot be had on this machine; the message says what would bring it."""


def environment_of(name: str, packages: tuple[str, ...]) -> Path:
    """Return the ``bin`` folder of a peer's own environment, made at first use.

    Raises:
        PeerMissing: its packages cannot be installed.
    """
    home = cache_folder() / "peers" / name
    if not (home / ".complete").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([uv, "venv", "--quiet", str(home)], check=True)
            subprocess.run(
                [uv, "pip", "install", "--quiet", "--python", str(home / "bin/python"), *packages], check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise PeerMissing(f"{name} cannot be installed: {error}") from error
        (home / ".complete").touch()
    return home / "bin"


def cache_folder() -> Path:
    """Return where slow installs are kept: ``LAKEGATE_CACHE``, or below the user's cache folder."""
    given = os.environ.get("LAKEGATE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lakegate"


@contextmanager
def nginx(folder: Path, page: bytes) -> Iterator[Program]:
    """Run nginx as a reverse proxy in front of nginx serving ``page``; yields the proxy.

    Raises:
        PeerMissing: nginx is not installed.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise PeerMissing("nginx is not installed; on Debian: apt-get install nginx-light")
    (folder / "files").mkdir()
    (folder / "files" / "page").write_bytes(page)
    source, front = free_port(), free_port()
    places = {
        "source": f"server {{ listen 127.0.0.1:{source}; location / {{ root {folder}/files; }} }}",
        "front": f"""upstream source {{ server 127.0.0.1:{source}; keepalive 32; }}
server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://source; proxy_http_version 1.1;
  proxy_set_header Connection ""; proxy_buffers 64 64k; proxy_max_temp_file_size 0; }} }}""",
    }
    with (
        running(
            _nginx(program, folder, "source", places), url=f"http://127.0.0.1:{source}", log=folder / "nginx-1.log"
        ),
        running(
            _nginx(program, folder, "front", places), url=f"http://127.0.0.1:{front}", log=folder / "nginx-2.log"
        ) as proxy,
    ):
        yield proxy


def _nginx(program: str, folder: Path, name: str, places: dict[str, str]) -> list[str]:
    home = folder / name
    home.mkdir()
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = home / "nginx.conf"
    path.write_text(
        f"daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{ }}\nhttp {{ access_log off; {temporary}\n{places[name]}\n}}\n"
    )
    return [program, "-c", str(path), "-p", str(home), "-e", str(home / "error.log")]


@contextmanager
def stac_fastapi_eodag(folder: Path, provider_url: str) -> Iterator[Program]:
    """Run stac-fastapi-eodag over one STAC provider.

    Raises:
        PeerMissing: it cannot be installed.
    """
    binaries = environment_of("eodag", EODAG)
    home = folder / "eodag"
    home.mkdir()
    providers = {
        "bench": {
            "priority": 1,
            "search": {"type": "StacSearch", "api_endpoint": f"{provider_url}/search", "need_auth": False},
            "products": {COLLECTION: {"_collection": COLLECTION}},
            "download": {"type": "HTTPDownload"},
        }
    }
    (home / "eodag.yml").write_text(yaml.safe_dump(providers))
    port = free_port()
    environment = {
        "EODAG_CFG_DIR": str(home),
        "EODAG_CFG_FILE": str(home / "eodag.yml"),
        "EODAG_EXT_COLLECTIONS_CFG_FILE": "{}",
        "EODAG_EXT_PRODUCT_TYPES_CFG_FILE": "{}",
        "EODAG_PROVIDERS_WHITELIST": '["bench"]',
        "HOME": str(home),
    }
    command = [str(binaries / "uvicorn"), "stac_fastapi.eodag.app:app", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(command, url=url, log=folder / "eodag.log", environment=environment) as program:
        yield program
