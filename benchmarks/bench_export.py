"""The export of a whole search, beside reading the same sites' pages raw, all at once: items a second, and memory.

The raw reading follows each site's next links, and neither decodes more than those nor merges; its items come once for
each site. Everything runs over loopback on the same cores, in turns, so only ratios mean anything.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.federation.processes import HEADERS, Program, embedded_site, gateway
from benchmarks.federation.timing import median
from benchmarks.harness import Row

SITES = 4
ITEMS, QUICK_ITEMS = 2_500, 300
"""Of each site, 11 kB each."""
PAGE = 500
ROUNDS = 3
IDENTITY = {"Accept-Encoding": "identity"}
GROWTH_BYTES = 64 << 20
RATE, PACKED, PARQUET = 0.25, 0.15, 0.05
"""Least shares of the raw rate: as NDJSON, in gzip, as GeoParquet."""


class _Link(msgspec.Struct):
    rel: str
    href: str
    method: str = "GET"
    body: dict[str, object] | None = None


class _Page(msgspec.Struct):
    features: list[msgspec.Raw]
    links: list[_Link]


def run(*, quick: bool = False) -> list[Row]:
    """Measure; ``quick`` for fewer items."""
    with tempfile.TemporaryDirectory(prefix="lakegate-bench-") as folder:
        return asyncio.run(_measured(Path(folder), QUICK_ITEMS if quick else ITEMS))


async def _measured(folder: Path, items: int) -> list[Row]:
    with ExitStack() as stack:
        sites = [stack.enter_context(embedded_site(number, folder, items=items)) for number in range(SITES)]
        front = stack.enter_context(gateway({f"s{n}": site.url for n, site in enumerate(sites)}, folder))
        async with aiohttp.ClientSession(read_bufsize=1 << 20) as session:
            return await _rows(session, sites, front, SITES * items)


async def _rows(session: aiohttp.ClientSession, sites: Sequence[Program], front: Program, count: int) -> list[Row]:
    ways: dict[str, Callable[[], Awaitable[int]]] = {
        "raw": lambda: _raw(session, sites),
        "ndjson": lambda: _export(session, front, headers=IDENTITY),
        "gzip": lambda: _export(session, front, headers={"Accept-Encoding": "gzip"}),
        "geoparquet": lambda: _export(session, front, format="geoparquet"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    resident = 0
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            found = await way()
            if number:
                seconds[name].append(time.perf_counter() - started)
            if name == "raw" and found != count:
                raise RuntimeError(f"the sites gave {found} of {count} items")
        resident = resident or front.resident_bytes()
    grown = front.resident_bytes() - resident
    rates = {name: count / median(samples) for name, samples in seconds.items()}
    rows = [
        Row(
            work=f"export of {count:,} items of {SITES} sites as {name}", unit="items/s", ours=rates[name],
            peer=rates["raw"], peer_name="items/s raw pages", ratio=rates[name] / rates["raw"],
            target=f">= {least} of raw", held=rates[name] / rates["raw"] >= least,
        )
        for name, least in (("ndjson", RATE), ("gzip", PACKED), ("geoparquet", PARQUET))
    ]  # fmt: skip
    memory = Row(
        work=f"gateway memory, {3 * ROUNDS} more exports", unit="MiB", ours=grown / 2**20, ratio=grown / 2**20,
        target=f"<= {GROWTH_BYTES >> 20} MiB", held=grown <= GROWTH_BYTES,
    )  # fmt: skip
    return [*rows, memory]


async def _raw(session: aiohttp.ClientSession, sites: Sequence[Program]) -> int:
    return sum(await asyncio.gather(*(_pages(session, site.url) for site in sites)))


async def _pages(session: aiohttp.ClientSession, url: str) -> int:
    decode = msgspec.json.Decoder(_Page).decode
    following: _Link | None = _Link(rel="next", href=f"{url}/search", method="POST", body={"limit": PAGE})
    found = 0
    while following is not None:
        async with session.request(following.method, following.href, json=following.body, headers=IDENTITY) as response:
            page = decode(await response.read())
        found += len(page.features)
        following = next((link for link in page.links if link.rel == "next"), None)
    return found


async def _export(
    session: aiohttp.ClientSession, front: Program, *, headers: dict[str, str] | None = None, **parameters: str
) -> int:
    """Return how many bytes came."""
    async with session.get(
        f"{front.url}/search/export", params=parameters, headers=HEADERS | (headers or {}),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as response:  # fmt: skip
        response.raise_for_status()
        return sum([len(piece) async for piece in response.content.iter_any()])
