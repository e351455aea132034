"""The configuration of an edge's dask-gateway-server with a local backend, written as its ``dask_gateway_config.py``.

Facts behind the choices: distributed 2026.6 dropped ``dask-scheduler``, so the commands are named; without a
persistent database clusters outlive a restart unseen; without an idle time-out they outlive their user; with the
server's own heartbeat time-out they do not outlive a large graph.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from edges.compute.claims import check_secret
from edges.model import Frozen

Backend = Literal["local", "in-process"]
_CLASSES: dict[Backend, str] = {
    "local": "dask_gateway_server.backends.local.UnsafeLocalBackend",
    "in-process": "dask_gateway_server.backends.inprocess.InProcessBackend",
}


class DaskEdge(Frozen):
    """One edge's Dask Gateway on one machine.

    ``address`` is the server's private API, ``proxy_address`` what the gateway talks to (HTTP and TLS comms), both
    ``host:port``. ``secret_file`` holds the secret that signs claims. Memory is in bytes, but for
    ``max_worker_memory_gib`` (GiB, as users enter it); ``idle_seconds`` ends a cluster that does nothing.
    ``busy_seconds`` is how long a scheduler may be silent: one that reads a large graph answers nobody meanwhile, and
    the server's own bound of two heartbeats would end it with all its work. One that has crashed is noticed as late.
    ``environment`` is set for schedulers and workers (``AWS_S3_ENDPOINT`` for GDAL). ``local`` starts processes,
    ``in-process`` threads of the server itself: for tests, without memory limits.
    """

    edge: str
    address: str
    proxy_address: str
    secret_file: str
    backend: Backend = "local"
    max_worker_cores: int = 2
    max_worker_memory_gib: float = 4.0
    max_worker_gpus: int = 0
    scheduler_memory: int = 512 << 20
    scheduler_cores: int = 1
    idle_seconds: float = 1800.0
    heartbeat_seconds: int = 15
    busy_seconds: float = 180.0
    environment: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if not self.busy_seconds > 2 * self.heartbeat_seconds:
            raise ValueError(
                f"busy_seconds must be above two heartbeats of {self.heartbeat_seconds} s, got {self.busy_seconds}"
            )
        if not self.idle_seconds > 0:
            raise ValueError(
                f"idle_seconds must be above 0, got {self.idle_seconds}: clusters would outlive their users"
            )
        for name in ("address", "proxy_address"):
            host, _, port = getattr(self, name).rpartition(":")
            if not host or not port.isdecimal():
                raise ValueError(f"{name} must be host:port, got {getattr(self, name)!r}")


def write_dask_edge(edge: DaskEdge, folder: Path) -> Path:
    """Write ``dask_gateway_config.py`` and what it refers to into ``folder``; return its path.

    Keys and the database are kept if they are there: writing again changes the configuration alone. Start it by
    ``dask-gateway-server -f <path>``.

    Raises:
        ValueError: the secret is too short.
        OSError: the folder cannot be written, or the secret file not read.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_secret(Path(edge.secret_file).read_text(encoding="utf-8").strip())
    _keep_key(folder / "db.key")
    path = folder / "dask_gateway_config.py"
    path.write_text(render_dask_config(edge, folder, dask=dask_command()), encoding="utf-8")
    return path


def dask_command() -> str:
    """Return the absolute path of the ``dask`` command of this environment."""
    return str(Path(sys.executable).with_name("dask"))


def render_dask_config(edge: DaskEdge, folder: Path, *, dask: str) -> str:
    """Return the text of the configuration. Values are written as literals, so that none of them is code."""
    lines = [
        f"# dask-gateway-server of {json.dumps(edge.edge)}, written by lakegate; changes here are overwritten.",
        "from pathlib import Path",
        "",
        "from edges.site.dask_authenticator import WorkerGpus, capped_options",
        "",
        *(f"c.{name} = {value}" for name, value in _settings(edge, folder, dask).items()),
        "",
    ]
    return "\n".join(lines)


def _settings(edge: DaskEdge, folder: Path, dask: str) -> dict[str, str]:
    persistent = edge.backend == "local"
    return {
        "DaskGateway.address": repr(edge.address),
        "DaskGateway.backend_class": repr(_CLASSES[edge.backend]),
        "DaskGateway.authenticator_class": repr("edges.site.dask_authenticator.LakegateAuthenticator"),
        "LakegateAuthenticator.secret_file": repr(str(Path(edge.secret_file).resolve())),
        "LakegateAuthenticator.audience": repr(edge.edge),
        "Proxy.address": repr(edge.proxy_address),
        "Backend.cluster_options": (
            f"capped_options(worker_cores={edge.max_worker_cores}, worker_memory_gib={edge.max_worker_memory_gib}, "
            f"gpus=WorkerGpus(most={edge.max_worker_gpus}, environment={dict(edge.environment)!r}))"
        ),
        "DBBackendBase.db_url": repr(f"sqlite:///{folder / 'clusters.sqlite'}" if persistent else "sqlite:///:memory:"),
        "DBBackendBase.db_encrypt_keys": f"[Path({str(folder / 'db.key')!r}).read_text().strip()]",
        "DBBackendBase.stop_clusters_on_shutdown": repr(not persistent),
        "DBBackendBase.cluster_heartbeat_period": repr(edge.heartbeat_seconds),
        "DBBackendBase.cluster_heartbeat_timeout": repr(edge.busy_seconds),
        "LocalBackend.sigint_timeout": "3",
        **({} if persistent else _NO_CHECKS),
        "ClusterConfig.scheduler_cmd": repr([dask, "scheduler"]),
        "ClusterConfig.worker_cmd": repr([dask, "worker"]),
        "ClusterConfig.scheduler_memory": repr(edge.scheduler_memory),
        "ClusterConfig.scheduler_cores": repr(edge.scheduler_cores),
        "ClusterConfig.idle_timeout": repr(edge.idle_seconds),
        "ClusterConfig.environment": repr(dict(edge.environment)),
    }


_NO_CHECKS = {
    "DBBackendBase.cluster_status_period": "86400.0",
    "DBBackendBase.worker_status_period": "86400.0",
}
"""The in-process backend (2026.3) takes what is starting for failed when it checks: its comparison is turned round."""


def _keep_key(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(base64.b64encode(secrets.token_bytes(32)).decode())
