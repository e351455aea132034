"""An item as clients of HDA read it, beside the same item of our own STAC face, and an incumbent's way: by CPU.

Ours looks into the assets, which all get other addresses: so it costs more than the STAC face, which passes them. The
peer decodes the whole item, changes it as a plain dict, and encodes it again.
"""

import json

import orjson

from benchmarks.federation.items import item
from benchmarks.harness import Row, interleaved
from edges.model import Members
from edges.stac.documents import item_collection
from edges.stac.item_pages import read_page
from gateway.hda.items import View
from gateway.hda.items import render as render_hda
from gateway.search.merge import Row as MergeRow
from gateway.search.render import preference, render_item

BASE = "http://gateway.example"
LIMIT = 100
TIMES_STAC, TIMES_ORJSON = 7.0, 0.9
PREFER = preference({})
VIEW = View(base=f"{BASE}/stac/v2", root=BASE, names={}, titles=lambda name: name, prefer=PREFER)


def run(*, quick: bool = False) -> list[Row]:
    """Measure; ``quick`` for fewer rounds."""
    content = json.dumps(
        {"type": "FeatureCollection", "features": [item(0, n) for n in range(LIMIT)]}, separators=(",", ":")
    ).encode()
    times = interleaved(
        {"hda": lambda: hda(content), "stac": lambda: stac(content), "orjson": lambda: with_orjson(content)},
        rounds=5 if quick else 41,
    )
    ratio, gain = times["hda"] / times["stac"], times["orjson"] / times["hda"]
    return [
        Row(
            work=f"page of {LIMIT} items as HDA over our STAC face: CPU",
            unit="ms", ours=times["hda"], peer=times["stac"], peer_name="ms, STAC face",
            ratio=ratio, target=f"<= {TIMES_STAC:g}", held=ratio <= TIMES_STAC,
        ),
        Row(
            work=f"page of {LIMIT} items as HDA: CPU",
            unit="ms", ours=times["hda"], peer=times["orjson"], peer_name="ms orjson",
            ratio=gain, target=f">= {TIMES_ORJSON:g} times orjson", held=gain >= TIMES_ORJSON,
        ),
    ]  # fmt: skip


def groups(content: bytes) -> list[list[MergeRow]]:
    """Return a page's items as the merge gives them."""
    items, _ = read_page("a", content)
    return [[MergeRow(key=(), site="a", item=each)] for each in items]


def hda(content: bytes) -> bytes | bytearray:
    """Render as the HDA face does."""
    rendered: list[Members] = [render_hda(group, VIEW) for group in groups(content)]
    return item_collection(rendered, links=[])


def stac(content: bytes) -> bytes | bytearray:
    """Render as the STAC face does."""
    return item_collection([render_item(group, base=BASE, prefer=PREFER) for group in groups(content)], links=[])


def with_orjson(content: bytes) -> bytes:
    """Do the same by decoding all of it."""
    page = orjson.loads(content)
    for each in page["features"]:
        name = f"{BASE}/stac/v2/collections/{each['collection']}"
        each["links"] = [{"rel": "collection", "href": name}, {"rel": "self", "href": f"{name}/items/{each['id']}"}]
        own = {"federation:backends": ["a"], "order:status": "succeeded", "storage:tier": "online"}
        each["properties"] |= own
        for key, asset in each["assets"].items():
            origin = {"href": asset["href"], "title": "Origin asset link"}
            href = f"{BASE}/data/a/{each['collection']}/{each['id']}/{key}"
            each["assets"][key] = asset | {"href": href, "alternate": {"origin": origin}}
    return orjson.dumps(page)
