"""The whole federated search over real sockets, beside what a user would take today.

The gateway runs as a process of its own with authentication, a quota on requests, and every check on. CPU figures are
of the measured process alone; wall times are medians of calls made in turns, so only their ratios mean anything.

Two ratios are those of a machine: what an interpreter takes over nginx, and over a loop whose time is mostly that of
the catalogues. There the same technique without a single check is measured in the same run, and what is wanted of us
stands to it as it did where both were first measured. Where that technique does as well as it did there, or better,
the ratio itself is held.
"""

import asyncio
import heapq
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pystac_client

from benchmarks.federation.items import COLLECTION, NEWEST, instant, item
from benchmarks.federation.peers import PeerMissing, nginx, stac_fastapi_eodag
from benchmarks.federation.pgstac import pgstac_sites
from benchmarks.federation.processes import HEADERS, Program, dumb_site, embedded_site, gateway, prototype
from benchmarks.federation.timing import Call, cpu_in_turns, cpu_per_call, in_turns, median, p95, quotient, reading
from benchmarks.harness import Row

LIMIT = 100
SITES = 4
DELAYS = (0.1, 0.15, 0.2, 0.3)
"""Seconds that the sites wait before they answer."""
NEVER = datetime.min.replace(tzinfo=UTC)
OVER_NGINX, BARE_OVER_NGINX = 6.0, 4.5
"""CPU over that of nginx: what is wanted, and what the technique without a check took where that was said."""
LOOP_OVER_US, LOOP_OVER_BARE = 20.0, 25.0
"""The time of a user's own loop over ours: what is wanted, and what it was over the technique without a check."""


def run(*, quick: bool = False) -> list[Row]:
    """Measure; ``quick`` for fewer rounds."""
    rows = []
    for part in (at_no_distance, at_a_distance, over_pgstac, in_depth, in_memory):
        with tempfile.TemporaryDirectory(prefix="lakegate-bench-") as folder:
            rows += asyncio.run(part(Path(folder), quick=quick))
    return rows


async def at_no_distance(folder: Path, *, quick: bool) -> list[Row]:
    """Measure over sites that answer at once: CPU beside nginx and stac-fastapi-eodag, compression, pystac-client."""
    count = 40 if quick else 400
    with lake(folder) as (sites, front), prototype([site.url for site in sites], folder) as technique:
        async with session() as client:
            cpu = await _cpu(folder, client, front, technique, count=count)
            wall = await in_turns(
                {
                    "gateway": reading(client, f"{front.url}/search?limit={LIMIT}"),
                    "bare": reading(client, f"{technique.url}/search?limit={LIMIT}"),
                    "raw": all_at_once(client, sites),
                    "loop": threaded(looping(sites)),
                    "through": threaded(through(front)),
                },
                rounds=3 if quick else 21,
            )
        eodag = await _cpu_of_eodag(folder, sites[0], cpu=median(cpu["gateway"]), count=2 if quick else 10)
    ours, loop = median(wall["gateway"]), median(wall["loop"])
    over_us, wanted = quotient(wall["loop"], wall["gateway"]), LOOP_OVER_US
    over_bare = over_us * quotient(wall["gateway"], wall["bare"])
    here = wanted * min(1.0, over_bare / LOOP_OVER_BARE)
    return [
        *_cpu_rows(cpu),
        eodag,
        at_most(
            "search over sites at 0 ms over the raw concurrent fetch", "ms", ours,
            quotient(wall["gateway"], wall["raw"]), 3,
            floor=median(wall["raw"]), floor_name="ms, bytes of 4 full pages",
        ),
        Row(
            work="pystac-client looping over the sites, over us, 0 ms", unit="ms", ours=ours, ratio=over_us,
            target=f">= {wanted:g} where no checks give {LOOP_OVER_BARE:g}; here, with {over_bare:.1f}, >= {here:.1f}",
            held=over_us >= here, peer=loop, peer_name="ms, loop and heapq.merge",
        ),
        for_information(
            "the same, pystac-client on both sides, 0 ms", "ms", median(wall["through"]),
            loop / median(wall["through"]), peer=loop, peer_name="ms, loop and heapq.merge",
        ),
    ]  # fmt: skip


async def _cpu(
    folder: Path, client: aiohttp.ClientSession, front: Program, technique: Program, *, count: int
) -> dict[str, list[float]]:
    """Return the CPU milliseconds of a page, by rounds: of us, the same in gzip, of the bare technique, of nginx.

    The last only where it is installed. ``together`` is what the bare technique takes to fetch and to send bytes.
    """
    page = json.dumps({"type": "FeatureCollection", "features": [item(0, n) for n in range(LIMIT)], "links": []})
    works = {
        "gateway": (front, searches(client, front.url, count)),
        "bare": (technique, searches(client, technique.url, count)),
        "packed": (front, searches(client, front.url, count, {"Accept-Encoding": "gzip"})),
        "together": (technique, [reading(client, f"{technique.url}/together?limit={LIMIT}")] * count),
    }
    with ExitStack() as stack:
        with suppress(PeerMissing):
            proxy = stack.enter_context(nginx(folder, page.encode()))
            works["nginx"] = (proxy, [reading(client, f"{proxy.url}/page")] * (count * 5))
        for program in (front, technique):  # they try their sites, once
            await cpu_per_call(program, searches(client, program.url, count // 4, first=count))
        return await cpu_in_turns(works, rounds=4 if count < 100 else 20)


def _cpu_rows(cpu: Mapping[str, Sequence[float]]) -> list[Row]:
    """Return the rows of CPU, and those that tell which part of it is ours."""
    medians = {name: median(samples) for name, samples in cpu.items()}
    ours, bare = medians["gateway"], medians["bare"]
    gzip = at_most(
        "gzip on the answer: CPU over none", "ms", medians["packed"], quotient(cpu["packed"], cpu["gateway"]), 1.35,
        peer=ours, peer_name="ms, identity",
    )  # fmt: skip
    work = f"CPU of one merged page of {LIMIT} items, over nginx passing one on"
    if "nginx" not in cpu:
        return [not_measured(work, "nginx is not installed; on Debian: apt-get install nginx-light"), gzip]
    over = quotient(cpu["gateway"], cpu["nginx"])
    bare_over = over / quotient(cpu["gateway"], cpu["bare"])
    here = OVER_NGINX * max(1.0, bare_over / BARE_OVER_NGINX)
    over_nginx = Row(
        work=work, unit="ms", ours=ours, ratio=over, held=over <= here,
        target=f"<= {OVER_NGINX:g} where no checks take {BARE_OVER_NGINX:g}; "
        f"here, with {bare_over:.1f}, <= {here:.1f}",
        floor=medians["nginx"], floor_name="ms nginx reverse proxy",
        peer=bare, peer_name="ms, the technique without a check",
    )  # fmt: skip
    passing = "fetching bytes and sending them"
    together, over_together = medians["together"], quotient(cpu["gateway"], cpu["together"])
    return [
        over_nginx,
        for_information("the same of the technique without a check, over nginx", "ms", bare, bare_over),
        for_information(f"the same of {passing}, over nginx", "ms", together, over / over_together),
        for_information(f"CPU of one merged page over {passing}", "ms", ours, over_together),
        gzip,
    ]


async def _cpu_of_eodag(folder: Path, site: Program, *, cpu: float, count: int) -> Row:
    work = f"CPU of stac-fastapi-eodag for a page of {LIMIT} (one provider), over us (four sites)"
    try:
        with stac_fastapi_eodag(folder, site.url) as peer:
            async with session() as client:
                one = reading(client, f"{peer.url}/search?collections={COLLECTION}&limit={LIMIT}")
                answer = json.loads(await one())
                if len(answer["features"]) != LIMIT:
                    return not_measured(work, f"it gave {len(answer['features'])} items")
                theirs = await cpu_per_call(peer, [one] * count, at_once=2)
    except PeerMissing as error:
        return not_measured(work, str(error))
    return at_least(work, "ms", cpu, theirs / cpu, 300, peer=theirs, peer_name="ms stac-fastapi-eodag")


async def at_a_distance(folder: Path, *, quick: bool) -> list[Row]:
    """Measure over sites that take 100 to 300 ms to answer: nothing may add to the slowest."""
    with lake(folder, DELAYS) as (sites, front):
        async with session() as client:
            wall = await in_turns(
                {
                    "gateway": reading(client, f"{front.url}/search?limit={LIMIT}"),
                    "slowest": reading(client, f"{sites[-1].url}/search?limit={LIMIT}"),
                    "loop": threaded(looping(sites)),
                },
                rounds=3 if quick else 31,
            )
    ours, slowest = wall["gateway"], wall["slowest"]
    return [
        at_most(
            "search over sites at 100-300 ms over the slowest, median", "ms", median(ours),
            median(ours) / median(slowest), 1.05, floor=median(slowest), floor_name="ms, the slowest alone",
        ),
        at_most(
            "search over sites at 100-300 ms over the slowest, p95", "ms", p95(ours),
            p95(ours) / p95(slowest), 1.10, floor=p95(slowest), floor_name="ms, the slowest alone",
        ),
        at_least(
            "pystac-client looping over the sites, over us, 100-300 ms", "ms", median(ours),
            median(wall["loop"]) / median(ours), 3, peer=median(wall["loop"]), peer_name="ms, loop and heapq.merge",
        ),
    ]  # fmt: skip


async def over_pgstac(folder: Path, *, quick: bool) -> list[Row]:
    """Measure over four real stac-fastapi-pgstac sites, whose time grows with the items asked for."""
    work = f"search over {SITES} stac-fastapi-pgstac sites over the raw fan-out of full pages"
    try:
        with ExitStack() as stack:
            sites = stack.enter_context(pgstac_sites(folder, sites=SITES, items=400 if quick else 2_000))
            front = stack.enter_context(gateway(_named(sites), folder))
            async with session() as client:
                wall = await in_turns(
                    {
                        "gateway": reading(client, f"{front.url}/search?limit={LIMIT}"),
                        "raw": all_at_once(client, sites),
                        "loop": threaded(looping(sites)),
                    },
                    rounds=2 if quick else 15,
                )
    except PeerMissing as error:
        return [not_measured(work, str(error))]
    ours, raw, loop = (median(wall[name]) for name in ("gateway", "raw", "loop"))
    return [
        at_most(work, "ms", ours, ours / raw, 0.75, floor=raw, floor_name="ms, bytes of 4 full pages"),
        at_least(
            "pystac-client looping over the pgstac sites, over us", "ms", ours, loop / ours, 3,
            peer=loop, peer_name="ms, loop and heapq.merge",
        ),
    ]  # fmt: skip


async def in_depth(folder: Path, *, quick: bool) -> list[Row]:
    """Measure a page far down the walk beside the first one, over embedded catalogues."""
    deep = 10 if quick else 50
    with ExitStack() as stack:
        sites = [
            stack.enter_context(embedded_site(number, folder, items=(deep + 2) * LIMIT // SITES + LIMIT))
            for number in range(SITES)
        ]
        front = stack.enter_context(gateway(_named(sites), folder))
        async with session() as client:
            first = following = f"{front.url}/search?limit={LIMIT}"
            for _ in range(deep - 1):
                page = json.loads(await reading(client, following)())
                following = next(link["href"] for link in page["links"] if link["rel"] == "next")
            wall = await in_turns(
                {"first": reading(client, first), "deep": reading(client, following)}, rounds=3 if quick else 31
            )
    top, down = median(wall["first"]), median(wall["deep"])
    return [at_most(f"page {deep} over page 1", "ms", down, down / top, 1.15, peer=top, peer_name="ms, page 1")]


async def in_memory(folder: Path, *, quick: bool) -> list[Row]:
    """Measure the gateway's memory over many searches: it must not grow."""
    count = 400 if quick else 10_000
    with lake(folder) as (_, front):
        async with session() as client:
            await cpu_per_call(front, searches(client, front.url, count // 5, limit=5))
            early = front.resident_bytes()
            await cpu_per_call(front, searches(client, front.url, count, limit=5, first=count))
            late = front.resident_bytes()
    return [
        at_most(
            f"memory after {count:,} more searches over before", "MB", late / 1e6, late / early, 1.10,
            peer=early / 1e6, peer_name="MB before",
        )
    ]  # fmt: skip


@contextmanager
def lake(folder: Path, delays: Sequence[float] = (0.0,) * SITES) -> Iterator[tuple[list[Program], Program]]:
    """Run sites and a gateway in front of them."""
    with ExitStack() as stack:
        sites = [
            stack.enter_context(dumb_site(number, folder, items=1_000, delay=delay))
            for number, delay in enumerate(delays)
        ]
        yield sites, stack.enter_context(gateway(_named(sites), folder))


def _named(sites: Sequence[Program]) -> dict[str, str]:
    return {f"site-{number}": site.url for number, site in enumerate(sites)}


def session() -> aiohttp.ClientSession:
    """Return a client that leaves bodies as they come."""
    return aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))


def searches(
    client: aiohttp.ClientSession,
    url: str,
    count: int,
    headers: dict[str, str] | None = None,
    *,
    limit: int = LIMIT,
    first: int = 0,
) -> list[Call]:
    """Return searches that differ, so that no answer can be shared."""
    ends = (instant(NEWEST + 7 * number) for number in range(first, first + count))
    asked = (f"{url}/search?limit={limit}&datetime=../{end}" for end in ends)
    return [reading(client, each, headers=headers) for each in asked]


def all_at_once(client: aiohttp.ClientSession, sites: Sequence[Program]) -> Call:
    """Return the floor: the bytes of a full page of every site, asked at once, and nothing done with them."""
    order = [{"field": "datetime", "direction": "desc"}]
    calls = [reading(client, f"{site.url}/search", post={"limit": LIMIT, "sortby": order}) for site in sites]

    async def call() -> None:
        await asyncio.gather(*(each() for each in calls))

    return call


def threaded(function: Callable[[], object]) -> Call:
    """Return a blocking function as a call."""

    async def call() -> object:
        return await asyncio.to_thread(function)

    return call


def looping(sites: Sequence[Program]) -> Callable[[], object]:
    """Return what a user does today: one search per catalogue with pystac-client, merged by hand."""
    clients = [pystac_client.Client.open(site.url) for site in sites]

    def search() -> list[object]:
        found = [
            client.search(limit=LIMIT, max_items=LIMIT, sortby="-properties.datetime").items() for client in clients
        ]
        newest = heapq.merge(*found, key=lambda each: each.datetime or NEVER, reverse=True)
        return list(itertools.islice(newest, LIMIT))

    return search


def through(front: Program) -> Callable[[], object]:
    """Return the same by one search of the gateway."""
    client = pystac_client.Client.open(front.url, headers=HEADERS)
    return lambda: list(client.search(limit=LIMIT, max_items=LIMIT, sortby="-properties.datetime").items())


def for_information(work: str, unit: str, ours: float, ratio: float, **beside: object) -> Row:
    """Return a row that nothing is asked of."""
    return Row(work=work, unit=unit, ours=ours, ratio=ratio, target="for information", held=True, **beside)  # type: ignore[arg-type]


def at_most(work: str, unit: str, ours: float, ratio: float, bound: float, **beside: object) -> Row:
    """Return a row whose ratio must not pass ``bound``."""
    return Row(work=work, unit=unit, ours=ours, ratio=ratio, target=f"<= {bound:g}", held=ratio <= bound, **beside)  # type: ignore[arg-type]


def at_least(work: str, unit: str, ours: float, ratio: float, bound: float, **beside: object) -> Row:
    """Return a row whose ratio must reach ``bound``."""
    return Row(work=work, unit=unit, ours=ours, ratio=ratio, target=f">= {bound:g}", held=ratio >= bound, **beside)  # type: ignore[arg-type]


def not_measured(work: str, reason: str) -> Row:
    """Return a row for a peer that is missing: it holds nothing."""
    return Row(work=work, unit="", ours=float("nan"), ratio=float("nan"), target=f"not measured: {reason}", held=False)
