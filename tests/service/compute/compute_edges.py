"""Real edges: two dask-gateway-servers and a kernel gateway, started on free ports; and a gateway around our faces."""

import base64
import os
import secrets
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from free_ports import free_port
from served_app import served
from waiting import wait_until

from edges.compute.dask_gateway import DaskGateway
from edges.compute.jupyter import JupyterGateway
from edges.http import Outbound
from edges.model import ClusterCap
from edges.seams import DaskBackend, KernelBackend
from edges.site.dask_config import Backend, DaskEdge, write_dask_edge
from edges.site.kernel_gateway import kernel_gateway_command, kernel_gateway_environment
from gateway.dask.bridges import Bridge, Bridges
from gateway.dask.clusters import Clusters
from gateway.dask.dashboards import DashboardHost, Dashboards
from gateway.dask.face import DaskFace
from gateway.dask.model import ClusterRoute, Room, Terms
from gateway.dask.session import Doorman
from gateway.kernels.face import KernelFace
from gateway.kernels.kernels import Kernels
from gateway.kernels.model import KernelRecord
from gateway.kernels.starting import KernelTerms
from gateway.listener import Listener
from gateway.placement.seam import ComputeNeed, PlacementDecision
from gateway.principal import PRINCIPAL, Principal
from gateway.proxying import EdgeProxy, ProxyLimits
from gateway.records_sqlite import SqliteRecordTable as RecordTable
from quotas.memory import MemoryLedger
from quotas.model import Policy

CAP = ClusterCap(cores=3.0, memory=4 << 30)
HOLDINGS = {"edge-a": {"sentinel-2-l2a"}, "edge-b": {"landsat-c2-l2"}}
POLICIES = (
    Policy(name="team-clusters", group="eo/team", resource="clusters", kind="concurrent", amount=3),
    Policy(name="team-kernels", group="eo/team", resource="kernels", kind="concurrent", amount=2),
)


def answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - our own loopback addresses
    try:
        with urllib.request.urlopen(request, timeout=2) as response:  # noqa: S310 - as above
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def process(command: list[str], *, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in its own session; end it and what it started."""
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, env=dict(env), stdout=output, stderr=output, start_new_session=True, cwd=log.parent
        )
    try:
        yield server
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


@dataclass
class RealDaskEdge:
    """One dask-gateway-server that can be stopped and started again."""

    edge: str
    folder: Path
    port: int
    secret: str
    config: Path
    stack: list[Iterator[subprocess.Popen[bytes]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [str(Path(sys.executable).with_name("dask-gateway-server")), "-f", str(self.config)]
        with process(command, env=os.environ | {"PYTHONWARNINGS": "ignore"}, log=self.folder / "server.log") as server:
            wait_until(lambda: answers(self.url + "/api/health"), what=f"{self.edge} to start")
            yield server


def make_dask_edge(edge: str, folder: Path, *, backend: Backend = "in-process") -> RealDaskEdge:
    folder.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_hex(32)
    (folder / "secret").write_text(secret)
    port = free_port()
    config = write_dask_edge(
        DaskEdge(
            edge=edge,
            address=f"127.0.0.1:{free_port()}",
            proxy_address=f"127.0.0.1:{port}",
            secret_file=str(folder / "secret"),
            backend=backend,
            max_worker_cores=2 if edge == "edge-a" else 1,
            max_worker_gpus=2 if edge == "edge-a" else 0,
            heartbeat_seconds=2,
        ),
        folder,
    )
    return RealDaskEdge(edge=edge, folder=folder, port=port, secret=secret, config=config)


class HoldingsPlacer:
    """Places by a table of holdings; the first edge where nothing is asked."""

    def __init__(self, edges: list[str]) -> None:
        self.edges = edges

    async def place(self, need: ComputeNeed, principal: Principal) -> PlacementDecision:
        wanted = set(need.collections) | set(need.items)
        for edge in self.edges:
            if need.edge in (None, edge) and wanted <= HOLDINGS.get(edge, set()):
                return PlacementDecision(edge=edge, reasons=(f"{edge} holds {sorted(wanted)}",))
        where = f" at {need.edge}" if need.edge else ""
        return PlacementDecision(edge=None, reasons=(f"no edge holds {sorted(wanted)}{where}",))


TOKENS = {
    "t-alice": Principal(user="alice", groups=("eo/team",), charging_group="eo/team"),
    "t-bob": Principal(user="bob", groups=("eo/other",), charging_group="eo/other"),
}
ANONYMOUS = Principal(user="anonymous", groups=(), charging_group="anonymous", anonymous=True)


def token_of(request: web.Request) -> str | None:
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        return base64.b64decode(rest).decode().partition(":")[2]
    return rest or request.query.get("token")


@web.middleware
async def token_table(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
    token = token_of(request)
    if token is not None and token not in TOKENS:
        return web.json_response({"error": "unknown token"}, status=401)
    request[PRINCIPAL] = ANONYMOUS if token is None else TOKENS[token]
    return await handler(request)


class CookieTable:
    """Cookies that are names in a table."""

    def __init__(self) -> None:
        self.given: dict[str, Principal] = {}

    def sign(self, principal: Principal, *, seconds: int) -> str:
        value = secrets.token_hex(16)
        self.given[value] = principal
        return value

    def verify(self, value: str) -> Principal | None:
        return self.given.get(value)


@dataclass
class RunningGateway:
    """A gateway under test: its address and its parts."""

    url: str
    port: int
    clusters: Clusters
    ledger: MemoryLedger
    routes: RecordTable[ClusterRoute]
    listener: Listener
    requests: list[tuple[str, str, int]]


@asynccontextmanager
async def dask_gateway_of(
    edges: Mapping[str, RealDaskEdge],
    state: Path,
    *,
    ledger: MemoryLedger | None = None,
    wrap: Callable[[str, DaskBackend], DaskBackend] = lambda _edge, backend: backend,
    port: int = 0,
    reconcile_seconds: float = 0.2,
    cap: ClusterCap = CAP,
    rooms: Mapping[str, Room] | None = None,
    queue_seconds: float = 60.0,
    dashboard_url: str = "",
    tls: ssl.SSLContext | None = None,
    edge_seconds: float = 30,
) -> AsyncIterator[RunningGateway]:
    """Run the Dask face on one port in front of real edges."""
    ledger = ledger or MemoryLedger(POLICIES)
    seen: list[tuple[str, str, int]] = []

    @web.middleware
    async def watch(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
        response = await handler(request)
        seen.append((request.method, request.path, response.status))
        return response

    async with (
        Outbound(allowed=[edge.url for edge in edges.values()]) as outbound,
        RecordTable(state / "clusters.sqlite", ClusterRoute) as routes,
    ):
        backends: dict[str, DaskBackend] = {
            name: wrap(
                name,
                DaskGateway(
                    edge=name,
                    url=edge.url,
                    secret=edge.secret,
                    session=outbound.session,
                    timeout_seconds=edge_seconds,
                ),
            )
            for name, edge in edges.items()
        }
        clusters = Clusters(
            backends=backends,
            routes=routes,
            ledger=ledger,
            placer=HoldingsPlacer(list(edges)),
            terms=Terms(cap=cap, lease_seconds=30.0, queue_seconds=queue_seconds, rooms=rooms or {}),
        )
        doorman = Doorman(signer=CookieTable(), secure=False)
        proxy = EdgeProxy(session=outbound.session, limits=ProxyLimits())
        host = DashboardHost(url=dashboard_url, signer=CookieTable()) if dashboard_url else None
        guards = [host.middleware()] if host is not None else []
        app = web.Application(middlewares=[watch, *guards, token_table])
        app.add_routes(DaskFace(clusters=clusters, doorman=doorman).routes())
        app.add_routes(
            Dashboards(
                clusters=clusters, doorman=doorman, proxy=proxy, origins=["http://localhost"], host=host
            ).routes()
        )

        bridges = {name: Bridge(edge=name, title="", most_workers=2) for name in edges}
        app.add_routes(Bridges(bridges=bridges, base="http://gateway.example").routes())

        async def close_websockets(_: web.Application) -> None:
            await proxy.close()

        app.on_shutdown.append(close_websockets)
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        listener = Listener(http=runner.server, routes=clusters, tls=tls)
        try:
            async with (
                clusters.running(reconcile_seconds=reconcile_seconds),
                listener.serving("127.0.0.1", port) as bound,
            ):
                yield RunningGateway(f"http://127.0.0.1:{bound}", bound, clusters, ledger, routes, listener, seen)
        finally:
            await runner.cleanup()


@dataclass
class RealKernelEdge:
    """One Jupyter Kernel Gateway."""

    edge: str
    folder: Path
    port: int
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        env = (
            os.environ
            | kernel_gateway_environment(token=self.token)
            | {"JUPYTER_RUNTIME_DIR": str(self.folder / "run")}
        )
        command = kernel_gateway_command(host="127.0.0.1", port=self.port)
        headers = {"Authorization": f"token {self.token}"}
        with process(command, env=env, log=self.folder / "server.log") as server:
            wait_until(lambda: answers(self.url + "/api/kernelspecs", headers), what=f"{self.edge} to start")
            yield server


class TokenTable:
    """Tokens for kernels, in the table that the middleware reads."""

    async def issue(self, principal: Principal, *, purpose: str) -> str:
        TOKENS[f"t-{purpose}"] = principal
        return f"t-{purpose}"

    async def revoke(self, *, purpose: str) -> None:
        TOKENS.pop(f"t-{purpose}", None)


@dataclass
class RunningKernelGateway:
    """A gateway under test with the Jupyter face."""

    url: str
    kernels: Kernels
    ledger: MemoryLedger
    records: RecordTable[KernelRecord]


@asynccontextmanager
async def kernel_gateway_of(
    edges: Mapping[str, RealKernelEdge],
    state: Path,
    *,
    ledger: MemoryLedger | None = None,
    wrap: Callable[[str, KernelBackend], KernelBackend] = lambda _edge, backend: backend,
    dask: RunningGateway | None = None,
    dask_proxies: Mapping[str, str] | None = None,
    reconcile_seconds: float = 0.2,
    port: int = 0,
) -> AsyncIterator[RunningKernelGateway]:
    """Run the Jupyter face in front of real kernel gateways."""
    ledger = ledger or MemoryLedger(POLICIES)
    async with (
        Outbound(allowed=[edge.url for edge in edges.values()]) as outbound,
        RecordTable(state / "kernels.sqlite", KernelRecord) as records,
    ):
        backends: dict[str, KernelBackend] = {
            name: wrap(
                name,
                JupyterGateway(edge=name, url=edge.url, token=edge.token, session=outbound.session, timeout_seconds=10),
            )
            for name, edge in edges.items()
        }
        kernels = Kernels(
            backends=backends,
            records=records,
            ledger=ledger,
            placer=HoldingsPlacer(list(edges)),
            terms=KernelTerms(
                gateway_url=dask.url if dask else "http://gateway.example",
                lease_seconds=30.0,
                dask_proxies=dask_proxies or {},
            ),
            credentials=TokenTable(),
        )
        proxy = EdgeProxy(session=outbound.session, limits=ProxyLimits())
        app = web.Application(middlewares=[token_table])
        app.add_routes(KernelFace(kernels=kernels, proxy=proxy, origins=["http://localhost"]).routes())

        async def close_websockets(_: web.Application) -> None:
            await proxy.close()

        app.on_shutdown.append(close_websockets)
        async with (
            served(app, port=port, shutdown_timeout=2) as url,
            kernels.running(reconcile_seconds=reconcile_seconds),
        ):
            yield RunningKernelGateway(url, kernels, ledger, records)
