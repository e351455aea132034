"""Kernels at an edge that runs Jupyter Enterprise Gateway, which lives in an environment of its own."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compute_edges import RealKernelEdge, answers, process
from free_ports import free_port
from kernel_clients import ALICE, call, execute, user
from waiting import wait_until

from edges.site.kernel_gateway import DASK_VARIABLES

pytestmark = pytest.mark.service

PACKAGES = ("jupyter_enterprise_gateway==3.2.3", "ipykernel<7", "setuptools<81")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lakegate" / "enterprise-gateway"
INSTALL_SECONDS = 600


@pytest.fixture(scope="module")
def enterprise() -> Path:
    """The Python of an environment with Enterprise Gateway, made once where it is required; skips elsewhere."""
    python = CACHE / "bin" / "python"
    if not (CACHE / "complete").exists():
        if "enterprise-gateway" not in os.environ.get("LAKEGATE_REQUIRE", ""):
            pytest.skip("no Enterprise Gateway: LAKEGATE_REQUIRE=enterprise-gateway installs it, which takes minutes")
        try:
            subprocess.run([sys.executable, "-m", "venv", str(CACHE)], check=True, capture_output=True, timeout=120)
            install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            pytest.skip(f"Enterprise Gateway cannot be installed: {error}; {said.decode(errors='replace')[-300:]}")
        (CACHE / "complete").touch()
    return python


@contextlib.contextmanager
def running(edge: RealKernelEdge, python: Path):
    """Run the gateway of an edge."""
    edge.folder.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER", "VIRTUAL"))}
    env |= {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_RUNTIME_DIR": str(edge.folder / "run"),
        "JUPYTER_DATA_DIR": str(edge.folder / "data"),
        "EG_AUTH_TOKEN": edge.token,
        "EG_LIST_KERNELS": "True",
        "EG_CLIENT_ENVS": ",".join(DASK_VARIABLES),
    }
    options = ("--ip=127.0.0.1", f"--port={edge.port}", "--EnterpriseGatewayApp.port_retries=0")
    command = [str(python), "-m", "enterprise_gateway", *options]
    headers = {"Authorization": f"token {edge.token}"}
    with process(command, env=env, log=edge.folder / "server.log"):
        wait_until(lambda: answers(edge.url + "/api/kernelspecs", headers), seconds=90, what="Enterprise Gateway")
        yield


async def test_a_kernel_of_an_enterprise_gateway_starts_runs_and_ends(enterprise, serve_kernels, tmp_path) -> None:
    edge = RealKernelEdge("edge-e", tmp_path / "edge-e", free_port())
    with running(edge, enterprise):
        async with serve_kernels({"edge-e": edge}) as gateway, user(ALICE) as session:
            offered = await call(session, "GET", gateway.url + "/api/kernelspecs", status=200)
            name = next(name for name in offered["kernelspecs"] if name.startswith("python") and "edge-e" in name)
            url = gateway.url + "/api/kernels"
            model = await call(session, "POST", url, json={"name": name}, status=201)
            one = f"{url}/{model['id']}"
            async with session.ws_connect(one + "/channels") as socket:
                assert await execute(socket, "print(6 * 7)") == "42\n"
                said = await execute(socket, "import os; print(os.environ['KERNEL_USERNAME'])")
                assert said == "alice\n"
            await call(session, "POST", one + "/interrupt", json={}, status=204)
            await call(session, "POST", one + "/restart", json={}, status=200)
            assert len(await gateway.ledger.leases()) == 1
            await call(session, "DELETE", one, status=204)
            assert await gateway.ledger.leases() == []
