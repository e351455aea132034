"""The whole main job, by the command that a newcomer types."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from demo_process import LAKEGATE, Demo, gone, left_running
from free_ports import free_port

pytestmark = pytest.mark.e2e
README = Path(__file__).parents[2] / "README.md"


def shell(demo: Demo, text: str, *, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run text as a user would paste it, with the folders of this demo and this environment."""
    pasted = text.replace("~/.local/state/lakegate/demo", str(demo.folder)).replace(
        ". .venv/bin/activate", f'PATH="{Path(sys.executable).parent}:$PATH"'
    )
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {demo.folder}/env\nPATH={Path(sys.executable).parent}:$PATH\n{pasted}"],
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def readme_block(words: str) -> str:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if words in block)


def test_every_step_of_the_tour_held(demo: Demo) -> None:
    assert len(re.findall(r"\n    held in", demo.output)) == 5
    assert "the same computed locally" in demo.output
    assert "a second cluster is refused" in demo.output
    assert "every SHA-256 as catalogued" in demo.output


@pytest.mark.parametrize("words", ["lakegate sites", "pystac_client", "dask_gateway"])
def test_what_the_readme_says_works_by_copy_and_paste(demo: Demo, words: str) -> None:
    done = shell(demo, readme_block(words))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_a_real_jupyter_server_finds_the_kernels_of_all_edges(demo: Demo) -> None:
    port = free_port()
    line = readme_block("jupyter server").splitlines()[-1]
    options = f"--allow-root --no-browser --ServerApp.port={port} --ServerApp.token=x"
    command = f"{line} {options} --ServerApp.root_dir={demo.folder}"
    script = f"""
{command} > {demo.folder}/logs/jupyter.log 2>&1 &
server=$!
trap 'kill $server' EXIT
for attempt in $(seq 300); do
  curl -sf "http://127.0.0.1:{port}/api/kernelspecs?token=x" && break
  kill -0 $server
  sleep 0.2
done
curl -sf -X POST -d '{{"name": "python3.edge-b"}}' "http://127.0.0.1:{port}/api/kernels?token=x"
"""
    done = shell(demo, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "python3.edge-a" in done.stdout
    assert '"execution_state"' in done.stdout


def test_a_second_demo_in_the_same_folder_is_refused_with_the_first_ones_process(demo: Demo) -> None:
    second = Demo(demo.folder, "--once")
    assert second.end() == 2
    assert f"another demo (process {demo.process.pid})" in second.output


def test_a_port_in_use_is_told_and_nothing_is_started(demo: Demo, demo_folder: Path) -> None:
    second = Demo(demo_folder, "--once", port=demo.port)
    assert second.end() == 2
    assert f"port {demo.port} is in use" in second.output
    assert not left_running(demo_folder)


def test_a_folder_that_is_not_a_demos_is_left_alone(demo_folder: Path) -> None:
    demo_folder.mkdir()
    (demo_folder / "precious.txt").write_text("mine")
    refused = Demo(demo_folder, "--once")
    assert refused.end() == 2
    assert (demo_folder / "precious.txt").read_text() == "mine"


def test_a_missing_program_is_named(demo_folder: Path) -> None:
    program = f"""
from rich.console import Console
from gateway.demo import run, setup
setup.RCLONE = "/nowhere/rclone"
options = run.DemoOptions(folder={str(demo_folder)!r}, port={free_port()}, once=True)
raise SystemExit(run.run_demo(options, Console()))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "/nowhere/rclone" in done.stdout


KILLED = os.environ.get("LAKEGATE_KILL", "edge-a/s3,gateway.yaml,edge-b/dask").split(",")


@pytest.mark.parametrize("victim", KILLED)
def test_killing_any_process_during_the_tour_ends_it_with_a_report(demo_folder: Path, victim: str) -> None:
    running = Demo(demo_folder, "--once")
    try:
        running.until("1/5")
        os.kill(running.pid_of(victim), signal.SIGKILL)
        assert running.end(seconds=90) == 1
        assert "ended unexpectedly (killed by SIGKILL)" in running.output
        assert gone(demo_folder), left_running(demo_folder)
    finally:
        running.close()


def test_ctrl_c_leaves_nothing_running(demo_folder: Path) -> None:
    running = Demo(demo_folder)
    try:
        running.until("starting: catalogues")
        running.interrupt()
        assert running.end(seconds=60) == 130
        assert gone(demo_folder), left_running(demo_folder)
    finally:
        running.close()


def test_if_the_demo_itself_is_killed_its_programs_end_too(demo_folder: Path) -> None:
    running = Demo(demo_folder)
    try:
        running.until("starting: gateway")
        running.process.kill()
        assert running.end() == -signal.SIGKILL
        assert gone(demo_folder), left_running(demo_folder)
    finally:
        running.close()


def test_help_says_what_each_command_does() -> None:
    done = subprocess.run([*LAKEGATE, "demo", "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "--once" in done.stdout
