"""The merge of a federated search: pages of four sites in, the top hundred items out, by CPU.

Ours is what the gateway runs between the sites' bytes and its own: decode, check every item against the query, keys,
merge, links rewritten, encode. The peers do the same with plain dicts, by orjson and by the standard library's json.
The floor is the technique of the prototype without a single check: what this machine gives just now. A rate is that of
a machine; so it is held against what the floor makes in the same run, as the rate that was aimed at stood to the floor
where both were first measured.
"""

import heapq
import json
from collections.abc import Callable
from typing import Any

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
AIMED, BARE = 45_000, 61_000
"""Items per second that are wanted, and what the technique without a check made on the machine that it was said of."""
TIMES_ORJSON = {"sized": 4, "full": 10}
"""What is held, by whether sites give their expected share or a whole page, of which three quarters are not read."""


def run(*, quick: bool = False) -> list[Row]:
    """Measure; ``quick`` for fewer rounds."""
    rounds = 5 if quick else 41
    share = fair_share(LIMIT + 1, SITES)
    pages = {
        "sized": [page(site, share) for site in range(SITES)],
        "full": [page(site, LIMIT) for site in range(SITES)],
    }
    times = {kind: _timed(each, rounds) for kind, each in pages.items()}
    many = [page(site, fair_share(LIMIT + 1, 32)) for site in range(32)]
    wide = interleaved({"4": lambda: ours(pages["sized"]), "32": lambda: ours(many)}, rounds=rounds)
    ratio = wide["32"] / wide["4"]
    return [
        *(_over_orjson(kind, times[kind]) for kind in pages),
        *_rates(times["sized"]),
        Row(
            work="merge CPU, 32 sites over 4 sites", unit="ms", ours=wide["32"], peer=wide["4"],
            peer_name="ms, 4 sites", ratio=ratio, target="<= 1.6", held=ratio <= 1.6,
        ),
    ]  # fmt: skip


def _timed(pages: list[bytes], rounds: int) -> dict[str, float]:
    """Return the CPU milliseconds of all who merge these pages; the slowest is asked less often."""
    swift = {
        "ours": lambda: ours(pages),
        "orjson": lambda: decoded_whole(pages, orjson.loads, orjson.dumps),
        "floor": lambda: merged(pages, limit=LIMIT, base=BASE),
    }
    slow = {"json": lambda: decoded_whole(pages, json.loads, _dumped)}
    return interleaved(swift, rounds=rounds) | interleaved(slow, rounds=rounds // 5)


def _over_orjson(kind: str, times: dict[str, float]) -> Row:
    ratio = times["orjson"] / times["ours"]
    return Row(
        work=f"merge {SITES} sites, page of {LIMIT}, {kind} pages: CPU", unit="ms", ours=times["ours"],
        peer=times["orjson"], peer_name="ms orjson", floor=times["floor"], floor_name="ms, no checks",
        ratio=ratio, target=f">= {TIMES_ORJSON[kind]} times orjson", held=ratio >= TIMES_ORJSON[kind],
    )  # fmt: skip


def _rates(times: dict[str, float]) -> list[Row]:
    """Return the rate as it is, beside what is wanted of this machine; over the floor; and over json."""
    rate, bare = (LIMIT / times[who] * 1e3 for who in ("ours", "floor"))
    here = AIMED * min(1.0, bare / BARE)
    return [
        Row(
            work="merged items per second and core", unit="items/s", ours=rate, ratio=rate / AIMED,
            target=f">= {AIMED:,} (1.00) where no checks make {BARE:,}; here >= {here:,.0f} ({here / AIMED:.2f})",
            held=rate >= here, floor=bare, floor_name="items/s, no checks",
        ),
        Row(
            work="merged items per second, over no checks", unit="items/s", ours=rate, ratio=rate / bare,
            target=f">= {AIMED / BARE:.2f}", held=rate / bare >= AIMED / BARE, floor=bare,
            floor_name="items/s, no checks",
        ),
        Row(
            work="merged items per second, over json of the standard library", unit="items/s", ours=rate,
            peer=LIMIT / times["json"] * 1e3, peer_name="items/s json", ratio=times["json"] / times["ours"],
            target="for information", held=True,
        ),
    ]  # fmt: skip


def ours(pages: list[bytes]) -> bytes | bytearray:
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


def decoded_whole(
    pages: list[bytes], loads: Callable[[bytes], dict[str, Any]], dumps: Callable[[object], bytes]
) -> bytes:
    """Merge as one would with decoded dicts."""
    decoded = [loads(content)["features"] for content in pages]
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
    return dumps({"type": "FeatureCollection", "features": chosen, "links": []})


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def page(site: int, count: int) -> bytes:
    """Return a site's page of ``count`` items, newest first."""
    items = [item(site, number) for number in range(count)]
    # closely written, as the servers of catalogues do
    return json.dumps({"type": "FeatureCollection", "features": items, "links": []}, separators=(",", ":")).encode()
