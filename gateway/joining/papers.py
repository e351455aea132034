"""What both sides need of a new edge: three secrets, a part of the gateway's configuration, and the edge's values.

The texts name the secrets and never hold them.
"""

import os
import secrets
from pathlib import Path

import yaml

from edges.model import Frozen, Json

SECRETS = ("claims", "write-token", "kernel-token")
"""What the gateway and one edge share: the key of its claims, who may write its catalogue, its kernels' token."""


class Joining(Frozen):
    """An edge that is to join. An address that is empty tells that the edge has no such part."""

    edge: str
    catalogue: str
    title: str = ""
    dask: str = ""
    comms: str = ""
    """``host:port`` of its TLS comms, where that is not the host of ``dask``."""
    kernels: str = ""
    worker_cores: int = 4
    worker_memory_gib: float = 16.0

    @property
    def secret_name(self) -> str:
        """Return what the Secret with all three is called, at both sides."""
        return f"lakegate-{self.edge.lower().replace('_', '-')}"


def gateway_part(joining: Joining, folder: Path | None) -> str:
    """Return the entry of ``sites``; its secrets are files in ``folder``, or mounted ones (of the chart) without."""
    site: Json = {"id": joining.edge, "kind": "edge"}
    if joining.title:
        site["title"] = joining.title
    site["catalogue"] = {"url": joining.catalogue, "write_token": _secret(joining, folder, "write-token")}
    if joining.dask:
        site["dask"] = {"url": joining.dask, "secret": _secret(joining, folder, "claims")}
        site["dask"] |= {"proxy_address": joining.comms} if joining.comms else {}
    if joining.kernels:
        site["kernels"] = {"url": joining.kernels, "token": _secret(joining, folder, "kernel-token")}
    return yaml.safe_dump([site], sort_keys=False)


def edge_values(joining: Joining) -> str:
    """Return the values of the chart ``lakegate-edge``."""
    reference = {key: {"name": joining.secret_name, "key": key} for key in SECRETS}
    values: Json = {
        "edge": joining.edge,
        "catalogue": {
            "title": joining.title or joining.edge,
            "publicUrl": joining.catalogue,
            "writeTokenSecret": reference["write-token"],
        },
        "daskGateway": {"enabled": bool(joining.dask)},
        "kernelGateway": {"enabled": bool(joining.kernels)},
    }
    if joining.dask:
        values["daskGateway"] |= {
            "claimsSecret": reference["claims"],
            "workerCores": joining.worker_cores,
            "workerMemoryGiB": joining.worker_memory_gib,
        }
    if joining.kernels:
        values["kernelGateway"]["tokenSecret"] = reference["kernel-token"]
    return yaml.safe_dump(values, sort_keys=False)


def secret_command(joining: Joining, folder: Path, namespace: str) -> list[str]:
    """Return the command that makes the Secret from the files; no secret is on the command line."""
    files = [f"--from-file={name}={folder / name}" for name in SECRETS]
    return ["kubectl", "create", "secret", "generic", joining.secret_name, f"--namespace={namespace}", *files]


def keep_secrets(folder: Path) -> None:
    """Make the secrets that are missing, each in a file of its own that only its owner reads.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in SECRETS:
        try:
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(48))


def _secret(joining: Joining, folder: Path | None, name: str) -> Json:
    if folder is not None:
        return {"file": str(folder / name)}
    return {"existingSecret": joining.secret_name, "key": name}
