"""``helm`` and its like for tests: built once by Go, kept in a cache, never fetched as binaries.

In ``~/.cache/lakegate/bin`` (``LAKEGATE_CACHE``). What is not there is built where ``LAKEGATE_REQUIRE`` names
``helm``, since that takes minutes; else the tests that need it are skipped.
"""

import fcntl
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("LAKEGATE_CACHE", Path.home() / ".cache" / "lakegate"))
REQUIRED = "helm" in os.environ.get("LAKEGATE_REQUIRE", "").split(",")
MODULES = {
    "helm-v3.22.0": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "helm-v4.3.1": "helm.sh/helm/v4/cmd/helm@v4.3.1",
    "kubeconform-v0.8.0": "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0",
    "promtool-v0.315.0": "github.com/prometheus/prometheus/cmd/promtool@v0.315.0",
    "kubectl-v0.37.1": "k8s.io/kubectl@v0.37.1",
}
HELM, HELM_4, KUBECONFORM, PROMTOOL, KUBECTL = MODULES
SOURCES = {
    KUBECTL: """package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() { os.Exit(cli.Run(cmd.NewDefaultKubectlCommand())) }
"""
}
"""Programs that are a package only: what begins them."""
TAGS = {PROMTOOL: "remove_all_sd"}
"""What is left out: promtool's looking for targets at forty clouds is nine tenths of its code."""
KUBERNETES = "1.34.0"
"""What charts are rendered for, where a test says nothing else."""
_BUILD_SECONDS = 3600


def program(name: str) -> str:
    """Return the path of a program; skip the test where there is none, fail it where one is required."""
    path = CACHE / "bin" / name
    if not path.exists():
        if not REQUIRED:
            pytest.skip(f"{path} is not there: LAKEGATE_REQUIRE=helm builds it, in minutes")
        if shutil.which("go") is None:
            pytest.fail(f"{path} is not there, and no Go to build it")
        _build(path, MODULES[name])
    return str(path)


def kubectl() -> str:
    """Return the path of ``kubectl``: ours, or the machine's own; skip or fail the test where there is none."""
    machines = shutil.which("kubectl")
    return machines if machines and not (CACHE / "bin" / KUBECTL).exists() and not REQUIRED else program(KUBECTL)


def _build(path: Path, module: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs want it at once
        if path.exists():
            return
        folder = path.parent / f"{path.name}.building"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # A module of its own: `go install` refuses those whose go.mod replaces others, as promtool's does.
        (folder / "go.mod").write_text("module lakegate/build\n\ngo 1.24\n")
        made, package = folder / "made", module.partition("@")[0]
        _go(folder, "get", module)
        if path.name in SOURCES:
            (folder / "main.go").write_text(SOURCES[path.name])
            _go(folder, "mod", "tidy")
            package = "."
        _go(
            folder, "build", f"-tags={TAGS.get(path.name, '')}", "-trimpath", "-ldflags=-s -w", "-o", str(made), package
        )
        made.rename(path)
        shutil.rmtree(folder)


def _go(folder: Path, *arguments: str) -> None:
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=mod"}
    done = subprocess.run(
        ["nice", "go", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"go {' '.join(arguments)}: {done.stderr[-2_000:]}")


def run(name: str, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a program; its environment holds nothing of the user's."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": os.environ.get("TMPDIR", "/tmp")}
    command = [program(name), *arguments]
    return subprocess.run(
        command, input=stdin, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


class Refused(Exception):
    """Helm does not render the chart; the message is its own."""


def template(
    values: dict[str, Any] | None = None,
    *,
    chart: str = "helm/lakegate",
    name: str = HELM,
    files: tuple[str, ...] = (),
    kubernetes: str = KUBERNETES,
) -> str:
    """Render a chart and return the text.

    Raises:
        Refused: it cannot be rendered with these values.
    """
    return _template(json.dumps(values or {}), chart, name, files, kubernetes)


@functools.lru_cache(maxsize=256)
def _template(values: str, chart: str, name: str, files: tuple[str, ...], kubernetes: str) -> str:
    arguments = ["template", "rel", chart, "--namespace", "lake", "--kube-version", kubernetes, "--values", "-"]
    done = run(name, *arguments, *(f"--values={each}" for each in files), stdin=values)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


Objects = list[dict[str, Any]]


def render(
    values: dict[str, Any] | None = None, *files: str, chart: str = "helm/lakegate", name: str = HELM
) -> Objects:
    """Render a chart and return its objects.

    Raises:
        Refused: it cannot be rendered with these values.
    """
    return [each for each in yaml.safe_load_all(template(values, chart=chart, name=name, files=files)) if each]


def of_kind(objects: Objects, kind: str, name: str | None = None) -> Objects:
    """Return the objects of a kind."""
    return [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def pods(objects: Objects) -> Objects:
    """Return the specifications of all pods, with those that their owners make."""
    owners = [each["spec"]["template"] for each in objects if each["kind"] in ("Deployment", "StatefulSet", "Job")]
    return [each["spec"] for each in (*owners, *of_kind(objects, "Pod"))]


def containers(pod: dict[str, Any]) -> Objects:
    """Return the containers of a pod, of all kinds."""
    return [*pod["containers"], *pod.get("initContainers", [])]


def scenarios(chart: str) -> list[str]:
    """Return the files of values that a chart is tried with."""
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / chart / "ci").glob("*-values.yaml"))]
