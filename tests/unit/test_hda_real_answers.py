"""Real answers of the Destination Earth Data Lake, through our own rendering: what clients read of them stays."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edges.model import Members
from gateway.hda.items import View, rendered
from gateway.hda.order_bodies import survives
from gateway.search.render import preference

ROOT = Path(os.environ.get("LAKEGATE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "destine" / "hda" / "v2"
VIEW = View(
    base="http://gate.example/stac/v2",
    root="http://gate.example",
    names={"site": "cop_cds"},
    titles=lambda name: name,
    prefer=preference({}),
    orders=frozenset({"site"}),
)


def items() -> Iterator[dict[str, Any]]:
    """Yield the real items, of pages and alone."""
    for path in sorted(ROOT.glob("*.json")):
        told = msgspec.json.decode(path.read_bytes())
        if told.get("type") in ("Feature", "FeatureCollection"):
            yield from told.get("features", [told])


REAL = list(items()) if ROOT.is_dir() else []


@pytest.mark.skipif(not REAL, reason=f"no real answers at {ROOT}; set LAKEGATE_DATA")
def test_there_are_items_of_both_kinds() -> None:
    kinds = {"_ORDERABLE_" in each["id"] for each in REAL}
    assert kinds == {True, False}


@pytest.mark.parametrize("real", REAL, ids=lambda each: each["id"][:60])
def test_a_real_item_keeps_its_shape(real: dict[str, Any]) -> None:
    members = msgspec.json.decode(msgspec.json.encode(real), type=Members)
    found = msgspec.json.decode(msgspec.json.encode(rendered(members, "site", VIEW)))
    properties = found["properties"]
    own = ("federation:backends", "order:status", "storage:tier")
    assert {name: value for name, value in properties.items() if name not in own} == {
        name: value for name, value in real["properties"].items() if name not in own
    }
    assert properties["federation:backends"] == ["cop_cds"]
    is_orderable = "_ORDERABLE_" in real["id"]
    assert (properties["order:status"], properties["storage:tier"]) == (
        ("orderable", "offline") if is_orderable else ("succeeded", "online")
    )
    assert set(found["assets"]) == set(real["assets"])
    for key, asset in found["assets"].items():
        assert asset["href"].startswith("http://gate.example/data/site/")
        assert asset["alternate"]["origin"]["href"] == real["assets"][key]["href"]
    assert is_orderable or "/" in found["assets"]["downloadLink"]["type"]
    theirs = next((each for each in real["links"] if each["rel"] == "retrieve"), None)
    ours = next((each for each in found["links"] if each["rel"] == "retrieve"), None)
    assert (ours is not None) is is_orderable
    if theirs is not None and ours is not None:
        assert survives(theirs["body"])
        assert ours["body"] == theirs["body"] | {"federation:backends": ["cop_cds"]}
