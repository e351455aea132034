"""The merge of a federated search: pages of four sites in, the top hundred items out, by CPU.

Ours is what the gateway runs between the sites' bytes and its own: decode, check every item against the query, keys,
merge, links rewritten, encode. The peer does the same with orjson and plain dicts. The floor is the technique of the
prototype without a single check: what this machine gives just now.
"""

import heapq
import json

import orjson

from benchmarks.federation.items import COLLECTION, item
from benchmarks.federation.prototype import merged
from benchmarks.harness import Row, interleaved
from edges.audit import ranked_keys
from edges.model import Batch, Query
from edges.stac.documents import item_collection
from edges.stac.item_pages import read_page
from edges.stac.matching import compile_parts
from edges.stac.order import compile_key, total_order
from gateway.search.merge import Merge
from gateway.search.merge import Row as MergeRow
from gateway.search.plan import Call, fair_share
from gateway.search.reading import Reading, RowReader
from gateway.search.render import preference, render_item

BASE = "http://gateway.example"
LIMIT = 100
SITES = 4
TIMES_ORJSON = {"sized": 4, "full": 10}
"""What is held, by whether sites give their expected share or a whole page, of which three quarters are not read."""


def run(*, quick: bool = False) -> list[Row]:
    """Measure; ``quick`` for fewer rounds."""
    rounds = 5 if quick else 41
    share = fair_share(LIMIT + 1, SITES)
    sized = [page(site, share) for site in range(SITES)]
    full = [page(site, LIMIT) for site in range(SITES)]
    times = interleaved(
        {
            "ours sized": lambda: ours(sized),
            "ours full": lambda: ours(full),
            "orjson sized": lambda: with_orjson(sized),
            "orjson full": lambda: with_orjson(full),
            "floor sized": lambda: merged(sized, limit=LIMIT, base=BASE),
            "floor full": lambda: merged(full, limit=LIMIT, base=BASE),
        },
        rounds=rounds,
    )
    many = [page(site, fair_share(LIMIT + 1, 32)) for site in range(32)]
    wide = interleaved({"4": lambda: ours(sized), "32": lambda: ours(many)}, rounds=rounds)
    rows = []
    for kind in ("sized", "full"):
        mine, theirs, floor = (times[f"{who} {kind}"] for who in ("ours", "orjson", "floor"))
        rows.append(
            Row(
                work=f"merge 4 sites, page of {LIMIT}, {kind} pages: CPU",
                unit="ms", ours=mine, peer=theirs, peer_name="ms orjson", floor=floor, floor_name="ms, no checks",
                ratio=theirs / mine, target=f">= {TIMES_ORJSON[kind]} times orjson",
                held=theirs / mine >= TIMES_ORJSON[kind],
            )
        )  # fmt: skip
    rate, bare = (LIMIT / times[f"{who} sized"] * 1e3 for who in ("ours", "floor"))
    rows.append(
        Row(
            work="merged items per second and core", unit="items/s", ours=rate, ratio=rate / 45_000,
            target=">= 45,000", held=rate >= 45_000, floor=bare, floor_name="items/s, no checks",
        )
    )  # fmt: skip
    ratio = wide["32"] / wide["4"]
    rows.append(
        Row(
            work="merge CPU, 32 sites over 4 sites", unit="ms", ours=wide["32"], peer=wide["4"],
            peer_name="ms, 4 sites", ratio=ratio, target="<= 1.6", held=ratio <= 1.6,
        )
    )  # fmt: skip
    return rows


def ours(pages: list[bytes]) -> bytes:
    """Merge as the gateway does."""
    query = Query(collections=(COLLECTION,), limit=LIMIT)
    order = total_order(query.sortby)
    reading = Reading(parts=compile_parts(query), key=compile_key(order), after=None, prefix=ranked_keys(order))
    merge = Merge({str(n): Arrived(reading, content, str(n)) for n, content in enumerate(pages)})
    merge.advance(LIMIT)
    prefer = preference({})
    return item_collection([render_item(group, base=BASE, prefer=prefer) for group in merge.taken()], links=[])


class Arrived:
    """One site's page, as it came: what a stream of the gateway is once its answer is there."""

    exhausted = True

    def __init__(self, reading: Reading, content: bytes, site: str) -> None:
        call = Call(site=site, segments=(), share=0, sorted=True, ties=True, residual=False)
        items, _ = read_page(site, content)
        self._rows = RowReader(call, reading).rows(Batch(items=items), segment=0)

    def pull(self) -> MergeRow | None:
        """Return the next row."""
        return next(self._rows, None)


def with_orjson(pages: list[bytes]) -> bytes:
    """Merge as one would with decoded dicts."""
    decoded = [orjson.loads(content)["features"] for content in pages]
    newest = heapq.merge(*decoded, key=lambda each: each["properties"]["datetime"], reverse=True)
    chosen = [each for each, _ in zip(newest, range(LIMIT), strict=False)]
    for each in chosen:
        home = f"{BASE}/collections/{each['collection']}"
        kept = [link for link in each["links"] if link["rel"] not in ("self", "parent", "collection", "root")]
        each["links"] = [
            {"rel": "self", "href": f"{home}/items/{each['id']}"},
            {"rel": "parent", "href": home},
            {"rel": "collection", "href": home},
            {"rel": "root", "href": BASE},
            *kept,
        ]
    return orjson.dumps({"type": "FeatureCollection", "features": chosen, "links": []})


def page(site: int, count: int) -> bytes:
    """Return a site's page of ``count`` items, newest first."""
    items = [item(site, number) for number in range(count)]
    # closely written, as the servers of catalogues do
    return json.dumps({"type": "FeatureCollection", "features": items, "links": []}, separators=(",", ":")).encode()
