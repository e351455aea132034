"""PURE: the kernelspecs of several edges as one list.

Each is offered as ``<name>.<edge>``, and once more by its own name, for which placement chooses the edge. (Names with
``@`` break the routes of Jupyter servers; a dot does not.)
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from edges.model import Json
from gateway.kernels.gpus import gpus_of_spec

MAX_SPECS = 200
"""Per edge: more is not a list that a person chooses from."""


def split_name(name: str, edges: Sequence[str]) -> tuple[str, str | None]:
    """Return a kernelspec's own name and its edge, None where placement chooses.

    >>> split_name("python3.edge-a", ["edge-a"]), split_name("python3.11", ["edge-a"])
    (('python3', 'edge-a'), ('python3.11', None))
    """
    own, dot, edge = name.rpartition(".")
    return (own, edge) if dot and own and edge in edges else (name, None)


def merge_specs(offers: Mapping[str, Json]) -> Json:
    """Return the kernelspecs of several edges, in the shape of ``GET /api/kernelspecs``."""
    merged: dict[str, Json] = {}
    automatic: dict[str, Json] = {}
    default = ""
    for edge, offer in offers.items():
        specs = {name: spec for name, spec in list(offer["kernelspecs"].items())[:MAX_SPECS] if isinstance(spec, dict)}
        for name, spec in specs.items():
            merged[f"{name}.{edge}"] = _renamed(spec, name, edge)
            automatic.setdefault(name, _automatic(spec, name, edge))
        if not default and offer.get("default") in specs:
            default = str(offer["default"])
    return {"default": default or next(iter(automatic), ""), "kernelspecs": automatic | merged}


def _renamed(entry: Json, name: str, edge: str) -> Json:
    shown = f"{name}.{edge}"
    spec = _spec(entry)
    spec["display_name"] = f"{spec.get('display_name') or name} @ {edge}"
    spec["metadata"] = {**_object(spec.get("metadata")), "lakegate": _ours(entry, edge)}
    return {"name": shown, "spec": spec, "resources": _resources(entry, shown)}


def _automatic(entry: Json, name: str, edge: str) -> Json:
    """Return the spec without an edge; its logo is that of the first edge that has it."""
    spec = _spec(entry)
    spec["metadata"] = {**_object(spec.get("metadata")), "lakegate": _ours(entry, "auto")}
    return {"name": name, "spec": spec, "resources": _resources(entry, f"{name}.{edge}")}


def _ours(entry: Json, edge: str) -> Json:
    gpus = gpus_of_spec(entry)
    return {"edge": edge} | ({"gpus": gpus} if gpus else {})


def _spec(entry: Json) -> Json:
    return dict(_object(entry.get("spec")))


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _resources(entry: Json, shown: str) -> dict[str, str]:
    """Return a spec's files at our address, whatever address the edge gave."""
    files: dict[str, str] = {}
    for kind, path in _object(entry.get("resources")).items():
        file = str(path).rsplit("/", 1)[-1]
        if file and file not in (".", ".."):
            files[str(kind)] = f"/kernelspecs/{quote(shown)}/{quote(file)}"
    return files
