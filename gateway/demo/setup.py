"""Writes the configuration of the demo's programs, and says how each is started."""

import json
import os
import sys
from pathlib import Path

from edges.model import Json
from edges.site.dask_config import DaskEdge, write_dask_edge
from edges.site.kernel_gateway import kernel_gateway_command, kernel_gateway_environment
from gateway.demo.processes import Program
from gateway.demo.world import COLLECTION, EDGES, GROUP, HUB, HUB_COLLECTION, USER, World

_BIN = Path(sys.executable).parent
RCLONE = str(_BIN / "rclone")
DASK_GATEWAY_SERVER = str(_BIN / "dask-gateway-server")
_LOOPBACK = "127.0.0.1"


def write_files(world: World) -> None:
    """Write every secret and configuration file of the demo, readable by this user only."""
    (world.path / HUB / "files").mkdir(parents=True, exist_ok=True)
    for edge in EDGES:
        (world.path / edge / "s3").mkdir(parents=True, exist_ok=True)
        keys = world.keys[edge]
        for name in ("access_key", "secret_key", "write_token", "kernel_token", "dask_secret"):
            _write_secret(world.secret_file(edge, name), getattr(keys, name))
        ports = world.edges[edge]
        write_dask_edge(
            DaskEdge(
                edge=edge,
                address=f"{_LOOPBACK}:{ports.dask_api}",
                proxy_address=f"{_LOOPBACK}:{ports.dask}",
                secret_file=str(world.secret_file(edge, "dask_secret")),
                heartbeat_seconds=5,
                environment=reading_environment(world, edge),
            ),
            world.path / edge / "dask",
        )
    _write_secret(world.secret_file("gateway", "token"), world.token)
    config = world.path / "gateway.yaml"
    config.write_text("# Written by `lakegate demo`. JSON is YAML too.\n" + json.dumps(gateway_config(world), indent=2))
    _write_secret(world.path / "env", environment_script(world))


def reading_environment(world: World, edge: str) -> dict[str, str]:
    """Return what GDAL needs to read the edge's own bucket, set for what runs at that edge."""
    keys = world.keys[edge]
    return {
        "AWS_S3_ENDPOINT": f"{_LOOPBACK}:{world.edges[edge].s3}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        # rclone's S3 server answers a range with 200, which GDAL takes for the whole file: so the first read shall
        # bring it all, which a scene of the demo is small enough for.
        "GDAL_INGESTED_BYTES_AT_OPEN": "1048576",
    }


def gateway_config(world: World) -> Json:
    """Return the gateway's configuration."""
    token = {"file": str(world.secret_file("gateway", "token"))}
    return {
        "server": {"port": world.gateway_port, "state": str(world.path / "gateway")},
        "auth": {"tokens": [{"user": USER, "groups": [GROUP], "token": token}]},
        "limits": {"probe_seconds": 3.0},
        "compute": {"cluster_cores": 3.0, "cluster_memory": 6 << 30, "reconcile_seconds": 2.0},
        "quotas": {
            "policies": [
                {
                    "name": "demo-clusters", "group": GROUP, "resource": "clusters", "kind": "concurrent",
                    "amount": 1, "applies": "each-user", "contact": "data-desk@demo.example",
                },
                {
                    "name": "demo-harvest", "group": GROUP, "resource": "harvest_bytes", "kind": "window",
                    "amount": 10 << 30, "window_seconds": 86_400,
                },
            ]
        },
        "sites": [*(_edge_config(world, edge, 10 * (n + 1)) for n, edge in enumerate(EDGES)), _hub_config(world)],
    }  # fmt: skip


def _edge_config(world: World, edge: str, priority: int) -> Json:
    ports = world.edges[edge]

    def secret(name: str) -> Json:
        return {"file": str(world.secret_file(edge, name))}

    return {
        "id": edge,
        "kind": "edge",
        "title": f"Demo {edge}",
        "priority": priority,
        "catalogue": {"url": world.catalogue_url(edge), "write_token": secret("write_token")},
        "storage": {
            "endpoint": world.s3_url(edge), "bucket": edge,
            "access_key": secret("access_key"), "secret_key": secret("secret_key"),
        },
        "dask": {"url": f"http://{_LOOPBACK}:{ports.dask}", "secret": secret("dask_secret")},
        "kernels": {"url": f"http://{_LOOPBACK}:{ports.kernels}", "token": secret("kernel_token")},
    }  # fmt: skip


def _hub_config(world: World) -> Json:
    return {
        "id": HUB,
        "kind": "hub",
        "title": "Demo hub: a catalogue whose files can be downloaded",
        "priority": 90,
        "catalogue": {"url": world.catalogue_url(HUB), "collections": {HUB_COLLECTION: COLLECTION}},
        "asset_origins": [f"http://{_LOOPBACK}:{world.hub.files}"],
    }


def storage_programs(world: World) -> list[Program]:
    """Return what must run before the sites can be stocked: the S3 servers."""
    return [_s3_program(world, edge) for edge in EDGES]


def _files_program(world: World) -> Program:
    """Return the hub's file server; it keeps what it once listed, so it starts when the files are there."""
    folder = world.path / HUB / "files"
    address = f"{_LOOPBACK}:{world.hub.files}"
    return Program(
        name=f"{HUB} files",
        command=(RCLONE, "serve", "http", "--addr", address, "--config", "/dev/null", "--read-only", str(folder)),
        ready=f"http://{address}/",
    )


def _s3_program(world: World, edge: str) -> Program:
    keys = world.keys[edge]
    return Program(
        name=f"{edge} S3",
        command=(
            RCLONE, "serve", "s3", "--addr", f"{_LOOPBACK}:{world.edges[edge].s3}", "--config", "/dev/null",
            str(world.path / edge / "s3"),
        ),
        environment={"RCLONE_AUTH_KEY": f'"{keys.access_key},{keys.secret_key}"'},  # one value of a CSV list
        ready=world.s3_url(edge),
    )  # fmt: skip


def site_programs(world: World) -> list[Program]:
    """Return the sites' other servers, which can start side by side."""
    return [
        _files_program(world),
        *(_catalogue_program(world, site) for site in (*EDGES, HUB)),
        *(_dask_program(world, edge) for edge in EDGES),
        *(_kernel_program(world, edge) for edge in EDGES),
    ]


def _catalogue_program(world: World, site: str) -> Program:
    port = world.hub.catalogue if site == HUB else world.edges[site].catalogue
    command = [
        sys.executable, "-m", "gateway", "site", "serve", "--items", str(world.items_file(site)),
        "--db", str(world.path / site / "catalogue.sqlite"), "--host", _LOOPBACK, "--port", str(port),
        "--title", f"Demo {site}",
    ]  # fmt: skip
    if site != HUB:
        command += ["--write-token-file", str(world.secret_file(site, "write_token"))]
    return Program(name=f"{site} catalogue", command=tuple(command), ready=f"{world.catalogue_url(site)}/health")


def _dask_program(world: World, edge: str) -> Program:
    config = world.path / edge / "dask" / "dask_gateway_config.py"
    return Program(
        name=f"{edge} Dask Gateway",
        command=(DASK_GATEWAY_SERVER, "-f", str(config)),
        environment={"PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}"},
        ready=f"http://{_LOOPBACK}:{world.edges[edge].dask}/api/health",
    )


def _kernel_program(world: World, edge: str) -> Program:
    port = world.edges[edge].kernels
    return Program(
        name=f"{edge} kernels",
        command=tuple(kernel_gateway_command(host=_LOOPBACK, port=port)),
        environment=kernel_gateway_environment(token=world.keys[edge].kernel_token) | reading_environment(world, edge),
        ready=f"http://{_LOOPBACK}:{port}/api",
    )


def gateway_program(world: World) -> Program:
    """Return the gateway itself."""
    return Program(
        name="gateway",
        command=(sys.executable, "-m", "gateway", "serve", "--config", str(world.path / "gateway.yaml")),
        ready=f"{world.url}/health",
    )


def environment_script(world: World) -> str:
    """Return a shell script that points unmodified clients at the demo."""
    return "\n".join(
        [
            f"export LAKEGATE_URL={world.url}",
            f"export LAKEGATE_TOKEN={world.token}",
            f"export DASK_GATEWAY__ADDRESS={world.url}",
            "export DASK_GATEWAY__AUTH__TYPE=jupyterhub",
            f"export JUPYTERHUB_API_TOKEN={world.token}",
            f"export JUPYTER_GATEWAY_URL={world.url}",
            f"export JUPYTER_GATEWAY_AUTH_TOKEN={world.token}",
            "",
        ]
    )


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
