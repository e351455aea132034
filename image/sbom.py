# ruff: noqa: INP001, T201 - a script, run by its path
"""Prints what is installed beside this interpreter as a CycloneDX 1.6 document (ECMA-424), always in one order."""

import importlib.metadata
import json
import re
from typing import Any


def component(found: importlib.metadata.Distribution) -> dict[str, Any]:
    """Return one component; its package URL (purl) is what scanners look vulnerabilities up by."""
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{found.version}",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{found.version}",
    }
    spdx = found.metadata.get("License-Expression")
    return told | ({"licenses": [{"expression": spdx}]} if spdx else {})


def document() -> dict[str, Any]:
    """Return the document; it has no time in it, so that two builds of the same are equal."""
    found = {part["name"]: part for part in map(component, importlib.metadata.distributions())}
    ours = found.pop("lakegate", None)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": ours and {**ours, "type": "application"}},
        "components": [found[name] for name in sorted(found)],
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))
