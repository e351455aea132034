"""What the demo consists of: sites, ports, names and folders. Values only."""

import secrets
import socket
from pathlib import Path

import msgspec

from edges.model import Frozen

COLLECTION = "demo-s2-l2a"
"""The harmonised collection."""
HUB_COLLECTION = "DEMO_S2MSI2A"
"""What the hub calls it: the gateway's configuration maps the names."""
GROUP = "demo/science"
USER = "alice"
EDGES = ("edge-a", "edge-b")
HUB = "hub"


class EdgePorts(Frozen):
    """The ports of one edge on loopback."""

    catalogue: int
    s3: int
    dask_api: int
    dask: int
    kernels: int


class HubPorts(Frozen):
    """The ports of the hub: its catalogue, and the server from which its files can be downloaded."""

    catalogue: int
    files: int


class EdgeKeys(Frozen):
    """The secrets between the gateway and one edge; made anew for each demo."""

    access_key: str
    secret_key: str
    write_token: str
    kernel_token: str
    dask_secret: str


class World(Frozen):
    """One demo. ``folder`` holds everything it writes; ``token`` is the demo user's API token."""

    folder: str
    gateway_port: int
    token: str
    edges: dict[str, EdgePorts]
    keys: dict[str, EdgeKeys]
    hub: HubPorts

    @property
    def path(self) -> Path:
        """Return the folder."""
        return Path(self.folder)

    @property
    def url(self) -> str:
        """Return the gateway's address."""
        return f"http://127.0.0.1:{self.gateway_port}"

    def s3_url(self, edge: str) -> str:
        """Return the address of an edge's S3 server."""
        return f"http://127.0.0.1:{self.edges[edge].s3}"

    def catalogue_url(self, site: str) -> str:
        """Return the address of a site's STAC API."""
        port = self.hub.catalogue if site == HUB else self.edges[site].catalogue
        return f"http://127.0.0.1:{port}"

    def items_file(self, site: str) -> Path:
        """Return where the items that a site holds at first are written."""
        return self.path / site / "items.ndjson"

    def secret_file(self, site: str, name: str) -> Path:
        """Return where a secret is kept."""
        return self.path / site / "secrets" / name


def new_world(folder: Path, gateway_port: int) -> World:
    """Choose free ports and fresh secrets."""
    ports = iter(free_ports(len(EDGES) * 5 + 2))
    edges = {
        edge: EdgePorts(
            catalogue=next(ports), s3=next(ports), dask_api=next(ports), dask=next(ports), kernels=next(ports)
        )
        for edge in EDGES
    }
    return World(
        folder=str(folder),
        gateway_port=gateway_port,
        token=secrets.token_urlsafe(24),
        edges=edges,
        keys={edge: _new_keys() for edge in EDGES},
        hub=HubPorts(catalogue=next(ports), files=next(ports)),
    )


def save_world(world: World) -> Path:
    """Write the world for the demo's other processes, readable by this user only."""
    path = world.path / "world.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(world))
    return path


def load_world(path: Path) -> World:
    """Read what :func:`save_world` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=World)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _new_keys() -> EdgeKeys:
    return EdgeKeys(
        access_key=secrets.token_hex(8),
        secret_key=secrets.token_hex(16),
        write_token=secrets.token_urlsafe(24),
        kernel_token=secrets.token_urlsafe(24),
        dask_secret=secrets.token_urlsafe(32),
    )
