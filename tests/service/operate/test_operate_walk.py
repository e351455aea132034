"""docs/operations.md, from an empty cluster to a harvest: its commands as they stand there, one after the other.

Only the first block, which says where a reader's sites are, is told otherwise. The test is the node: it runs the pods
that the API server has, and stands behind ``kubectl port-forward``, which needs a kubelet.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from free_ports import free_port
from helm_program import HELM, ROOT, kubectl, program
from kubernetes_api import KubernetesApi
from kubernetes_node import PROGRAMS, Node
from operate_scene import Cluster
from s3_bucket import ACCESS, SECRET, served_bucket
from served_app import served

pytestmark = pytest.mark.service

PAGE = ROOT / "docs" / "operations.md"
LAKEGATE = str(PROGRAMS / "lakegate")
WRITE_TOKEN = "write-token-of-edge-b"
FORWARDED = Path(__file__).with_name("port_forward.py")


def blocks() -> dict[str, str]:
    """Return the commands of the walk by their headings; those that say where the sites are have none."""
    text = PAGE.read_text().partition("## From an empty cluster\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### \d+\. (.*)\n", text, flags=re.MULTILINE)
    named = dict(zip(["", *parts[1::2]], parts[0::2], strict=True))
    return {
        name: "\n".join(re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL))
        for name, part in named.items()
    }


def exported(block: str) -> set[str]:
    return set(re.findall(r"(?:^export|\s)\s*([A-Z_]+)=", block))


def item(name: str, day: int, assets: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": "s2",
        "geometry": {"type": "Point", "coordinates": [7.0, 46.0]},
        "bbox": [7.0, 46.0, 7.0, 46.0],
        "properties": {"datetime": f"2026-04-{day:02}T10:00:00Z"},
        "links": [],
        "assets": assets,
    }


@contextlib.asynccontextmanager
async def files(folder: Path) -> AsyncIterator[str]:
    """Serve a folder by HTTP."""
    app = web.Application()
    app.router.add_static("/", folder)
    async with served(app) as url:
        yield url


@contextlib.asynccontextmanager
async def site(folder: Path, items: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Run a site's catalogue as a process."""
    (folder / "items").mkdir(parents=True)
    for each in items:
        (folder / "items" / f"{each['id']}.json").write_text(json.dumps(each))
    (folder / "token").write_text(WRITE_TOKEN)
    port = free_port()
    told = ["--items", str(folder / "items"), "--port", str(port), "--write-token-file", str(folder / "token")]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            LAKEGATE, "site", "serve", *told, stdout=log, stderr=log, cwd=folder
        )
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/health") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


def tools(cluster: Cluster, folder: Path) -> dict[str, str]:
    """Put ``helm`` and ``kubectl`` where the shell finds them; return the shell's environment."""
    place = folder / "bin"
    place.mkdir()
    (place / "helm").symlink_to(program(HELM))
    forward = [sys.executable, str(FORWARDED), str(folder / "services.json")]
    (place / "kubectl").write_text(
        "#!/bin/bash\n"
        f'case " $* " in *" port-forward "*) exec {shlex.join(forward)} "$@";; esac\n'
        f'exec {shlex.quote(kubectl())} "$@"\n'
    )
    (place / "kubectl").chmod(0o755)
    return {
        "PATH": f"{place}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.api.kubeconfig),
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }


async def walked(script: str, environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run the commands in one shell; what they started is ended with it."""
    with (folder / "output").open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            env=environment,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(240):
            code = await process.wait()
    except TimeoutError:
        code = -1
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return code, (folder / "output").read_text()


@pytest.fixture
def lake(foreign_kinds: KubernetesApi, cluster: Cluster) -> Cluster:
    """The cluster with nothing of ours in it; the walk makes its namespace itself."""
    return Cluster(foreign_kinds, "lakegate")


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run two sites and a bucket; yield what the first block tells of them."""
    (folder / "data").mkdir()
    (folder / "store").mkdir()
    assets: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        origin = await stack.enter_async_context(files(folder / "data"))
        for name in ("a-1", "a-2"):
            body = os.urandom(200_000)
            (folder / "data" / f"{name}.bin").write_bytes(body)
            checksum = f"1220{hashlib.sha256(body).hexdigest()}"
            assets[name] = {"data": {"href": f"{origin}/{name}.bin", "file:size": len(body), "file:checksum": checksum}}
        theirs = [item(name, day, assets[name]) for day, name in enumerate(assets, 1)]
        edge_a = await stack.enter_async_context(site(folder / "edge-a", theirs))
        edge_b = await stack.enter_async_context(site(folder / "edge-b", [item("b-1", 9, {})]))
        store = stack.enter_context(served_bucket(folder / "store", "harvest"))
        yield {
            "EDGE_A": edge_a,
            "ORIGIN_A": origin,
            "EDGE_B": edge_b,
            "STORE_B": store,
            "BUCKET_B": "harvest",
            "EDGE_B_WRITE_TOKEN": WRITE_TOKEN,
            "STORE_B_ACCESS_KEY": ACCESS,
            "STORE_B_SECRET_KEY": SECRET,
            "LAKEGATE_PORT": str(free_port()),
        }


async def test_the_commands_of_the_page_lead_from_an_empty_cluster_to_a_harvest(lake: Cluster, tmp_path: Path):
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("the page asks for curl and openssl, which are not here")
    first, *steps = blocks().items()
    async with world(tmp_path) as told:
        assert exported(first[1]) == set(told)
        script = "".join(f"echo; echo '== {name}'\n{block}\n" for name, block in steps)
        environment = tools(lake, tmp_path) | told
        node = Node(lake.api, "lakegate", tmp_path)
        async with node.running():
            code, output = await walked(script, environment, tmp_path)
            logs = node.logs()
        assert code == 0, f"{output}\n{logs}"
    parts = re.split(r"^== (.*)\n", output, flags=re.MULTILINE)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert re.search(r"Phase:\s+Succeeded", said["Two sites"]), said["Two sites"]
    assert {f'"{each}"' for each in ("a-1", "a-2", "b-1")} <= set(re.findall(r'"[ab]-\d"', said["A federated search"]))
    assert re.findall(r"-> (\d+)", said["A quota, and who has used it up"]) == ["200"] * 3 + ["429"]
    assert "guests.day" in said["A quota, and who has used it up"]
    assert re.search(r"first\s+edge-b\s+successful\s+100", said["A harvest"]), said["A harvest"]
    assert {'"a-1"', '"a-2"'} <= set(re.findall(r'"a-\d"', said["A harvest"]))
    assert 'release "lakegate" uninstalled' in said["And away with it"]
    stored = sorted(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert stored == sorted(path.read_bytes() for path in (tmp_path / "data").iterdir())
