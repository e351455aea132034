"""What ``helm test`` runs in its pod, against a gateway that runs."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from free_ports import free_port
from helm_program import ROOT

from edges.catalogues.memory import MemoryCatalogue
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.config import parse_settings
from gateway.settings import Settings

SCRIPT = ROOT / "helm" / "lakegate" / "files" / "answers.sh"


def settings_of(state: Path, catalogue: str) -> Settings:
    policy = {"name": "items", "group": "*", "resource": "items", "kind": "rate", "amount": 1000, "window_seconds": 1}
    content = {
        "server": {"port": free_port(), "state": str(state)},
        "sites": [{"id": "edge-a", "kind": "edge", "catalogue": {"url": catalogue}}],
        "quotas": {"policies": [policy]},
    }
    return parse_settings(content, {}, source="test")


async def run_script(url: str) -> tuple[int, str]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LAKEGATE_URL": url,
        "LAKEGATE_TOKEN": "",
    }
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-ec",
        SCRIPT.read_text(),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.service
async def test_the_script_of_helm_test_passes_against_a_gateway(tmp_path: Path):
    async with (
        serving(MemoryCatalogue(), SiteServerSettings()) as catalogue,
        running_gateway(settings_of(tmp_path / "state", catalogue)) as url,
    ):
        async with asyncio.timeout(30):
            code, output = await run_script(url)
            while code and "not asked yet" in output:
                code, output = await run_script(url)
    assert not code, output
    assert "quotas answer" in output


@pytest.mark.service
async def test_the_script_of_helm_test_fails_where_no_gateway_is(tmp_path: Path):
    code, _ = await run_script(f"http://127.0.0.1:{free_port()}")
    assert code
