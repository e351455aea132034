"""Definitions of other projects' kinds that the charts make objects of: the Gateway API and the Prometheus operator.

They come as sources by the Go module client and stay in the cache folder.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_program import CACHE

GATEWAY_API, PROMETHEUS = "sigs.k8s.io/gateway-api@v1.3.0", "github.com/prometheus-operator/prometheus-operator@v0.85.0"
FILES = {
    "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml": GATEWAY_API,
    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml": PROMETHEUS,
    "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml": PROMETHEUS,
}


def foreign_definitions() -> list[dict[str, Any]]:
    """Return the definitions; skip the test where they cannot be had."""
    found = [yaml.safe_load(_kept(file, module).read_text()) for file, module in FILES.items()]
    return [{key: value for key, value in each.items() if key != "status"} for each in found]


def _kept(file: str, module: str) -> Path:
    kept = CACHE / f"definitions-{module.rpartition('@')[2]}" / Path(file).name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_sources(module) / file, kept)
    return kept


def _sources(module: str) -> Path:
    required = bool({"helm", "kubernetes"} & set(os.environ.get("LAKEGATE_REQUIRE", "").split(",")))
    environment = os.environ | ({} if required else {"GOPROXY": "off"})
    command = ["go", "mod", "download", "-json", module]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, check=False, env=environment, cwd="/"
        )
        return Path(json.loads(done.stdout)["Dir"])
    except (OSError, ValueError, KeyError) as error:
        reason = f"no sources of {module}: {error}"
        if required:
            pytest.fail(reason)
        pytest.skip(reason)
