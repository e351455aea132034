"""JSON Schemas of Kubernetes' own kinds for kubeconform, made of the OpenAPI description in its sources.

The sources come by the Go module client and stay in its cache; the schemas are kept beside the programs of the tests.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helm_program import CACHE, REQUIRED

VERSION = "v1.34.4"
FOLDER = CACHE / f"kubernetes-schemas-{VERSION}"
_PREFIX = "#/definitions/"
_LOOSE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["integer", "string", "null"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number", "null"]},
}
"""What the description tells of as text, and the server takes as a number, too."""


def schemas() -> str:
    """Return the pattern of kubeconform for the schemas; skip the test where they cannot be made."""
    if not FOLDER.exists():
        _write(_description())
    return str(FOLDER / "{{.ResourceKind}}-{{.ResourceAPIVersion}}-{{.Group}}.json")


def _description() -> dict[str, Any]:
    command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{VERSION}"]
    environment = os.environ | ({} if REQUIRED else {"GOPROXY": "off"})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, check=False, env=environment, cwd="/"
        )
        folder = Path(json.loads(done.stdout)["Dir"])
    except (OSError, ValueError, KeyError) as error:
        reason = f"no sources of Kubernetes {VERSION}: {error}"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    content: dict[str, Any] = json.loads((folder / "api" / "openapi-spec" / "swagger.json").read_text())
    return content


def _write(description: dict[str, Any]) -> None:
    definitions = {name: _strict(name, each) for name, each in description["definitions"].items()}
    building = FOLDER.with_suffix(".building")
    building.mkdir(parents=True, exist_ok=True)
    for name, each in description["definitions"].items():
        for kind in each.get("x-kubernetes-group-version-kind", []):
            file = f"{kind['kind']}-{kind['version']}-{kind['group'] or kind['version']}.json"
            document = {"$ref": f"{_PREFIX}{name}", "definitions": _needed(name, definitions)}
            (building / file.lower()).write_text(json.dumps(document))
    building.rename(FOLDER)


def _strict(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Refuse members that there are not, as the server does for what a person writes."""
    if name in _LOOSE:
        return _LOOSE[name]
    return schema | ({"additionalProperties": False} if "properties" in schema else {})


def _needed(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = definitions[each]
            waiting += [part.split('"')[0] for part in json.dumps(definitions[each]).split(_PREFIX)[1:]]
    return found
