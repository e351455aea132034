"""What a download through the gateway costs, beside nginx as a reverse proxy and the raw fetch from the source.

A gigabyte by one client, and by eight at once that take an eighth each; and small ranges, as readers of images ask
for them. Client (curl), source (nginx, from memory), gateway and proxy are processes of one machine, measured in turns:
what counts are the ratios within one run, and the processor seconds of the process in the middle.
"""

import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from benchmarks.compute_servers import server
from benchmarks.downloads.servers import gateway, nginx_proxy, path_of
from benchmarks.harness import Row
from benchmarks.harvest.servers import BUCKET, data_of, nginx, work_folder

GB = 1_000_000_000
MOST_CPU = 2.5
"""Processor seconds for a gigabyte, as a multiple of nginx's."""
LEAST_SHARE = 0.4
"""Of the speed of nginx as a proxy, by eight clients at once."""
MOST_MEMORY = 32.0
"""MB that the gateway grows by while it passes them on."""
MOST_RANGE_MS = 3.0
RANGE = 16_384


class Cost(NamedTuple):
    """MB a second, processor seconds for a gigabyte, and by how many MB the process grew."""

    speed: float
    cpu: float
    grown: float


def run(*, quick: bool = False) -> list[Row]:
    """Return all rows."""
    size = GB // 10 if quick else GB
    rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory() as parent:
        folder = work_folder(Path(parent))
        try:
            with nginx(folder, dav=False) as source:
                for name, length in (("large", size), ("small", size // 8)):
                    with (data_of(source, folder) / name).open("wb") as file:
                        file.truncate(length)
                port = int(source.url.rpartition(":")[2])
                with nginx_proxy(folder, source.url) as proxy, server(gateway, port) as (ours, pid):
                    rows: list[Row] = []
                    for name, clients in (("large", 1), ("small", 8)):
                        urls = {
                            "ours": (f"http://127.0.0.1:{ours}{path_of(name)}", pid),
                            "nginx": (f"{proxy.url}/{BUCKET}/{name}", proxy.pid),
                            "raw": (f"{source.url}/{BUCKET}/{name}", source.pid),
                        }
                        rows += _compared(urls, clients, size // clients, rounds)
                    rows.append(_ranges(urls["ours"][0], urls["nginx"][0], 200 if quick else 2_000))
                    return rows
        finally:
            shutil.rmtree(folder)


def _compared(urls: dict[str, tuple[str, int]], clients: int, size: int, rounds: int) -> list[Row]:
    costs: dict[str, list[Cost]] = {name: [] for name in urls}
    for _ in range(rounds + 1):
        for name, (url, pid) in urls.items():
            costs[name].append(_measured(url, pid, clients, size))
    first = {name: each[1:] if rounds > 1 else each for name, each in costs.items()}  # the first one warms up
    median: dict[str, Cost] = {
        name: Cost(*(statistics.median(values) for values in zip(*each, strict=True))) for name, each in first.items()
    }
    ours, peer, raw = median["ours"], median["nginx"], median["raw"]
    what = f"{size / GB:g} GB, {clients} at once"
    ratio, share = ours.cpu / peer.cpu, ours.speed / peer.speed
    return [
        Row(
            work=f"{what}: processor seconds for a GB", unit="s", ours=ours.cpu, ratio=ratio,
            target=f"<= {MOST_CPU:g} x nginx", held=ratio <= MOST_CPU, peer=peer.cpu, peer_name="s nginx proxy",
        ),
        Row(
            work=f"{what}: speed", unit="MB/s", ours=ours.speed, ratio=share, target=f">= {LEAST_SHARE:g} x nginx",
            held=share >= LEAST_SHARE, peer=peer.speed, peer_name="MB/s nginx proxy", floor=raw.speed,
            floor_name="MB/s raw",
        ),
        Row(
            work=f"{what}: memory that it grew by", unit="MB", ours=ours.grown, ratio=ours.grown / MOST_MEMORY,
            target=f"<= {MOST_MEMORY:g} MB", held=ours.grown <= MOST_MEMORY,
        ),
    ]  # fmt: skip


def _measured(url: str, pid: int, clients: int, size: int) -> Cost:
    process = psutil.Process(pid)
    before, memory = process.cpu_times(), process.memory_info().rss
    started = time.perf_counter()
    running = [
        subprocess.Popen(["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download}", url], stdout=subprocess.PIPE)
        for _ in range(clients)
    ]
    got = [int(each.communicate()[0]) for each in running]
    seconds = time.perf_counter() - started
    if got != [size] * clients:
        raise RuntimeError(f"{url} gave {got} bytes")
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    total = size * clients
    return Cost(total / 1e6 / seconds, spent / (total / GB), (process.memory_info().rss - memory) / 1e6)


def _ranges(ours: str, peer: str, count: int) -> Row:
    first, second = asyncio.run(_in_turns(ours, peer, count))
    added = first - second
    return Row(
        work="a range of 16 KiB: time added to nginx as a proxy", unit="ms", ours=added, ratio=added / MOST_RANGE_MS,
        target=f"<= {MOST_RANGE_MS:g} ms", held=added <= MOST_RANGE_MS, peer=second, peer_name="ms nginx proxy",
    )  # fmt: skip


async def _in_turns(ours: str, peer: str, count: int) -> tuple[float, float]:
    times: dict[str, list[float]] = {ours: [], peer: []}
    async with aiohttp.ClientSession() as session:
        for number in range(count):
            for url, taken in times.items():
                started = time.perf_counter()
                first = number * RANGE
                async with session.get(url, headers={"Range": f"bytes={first}-{first + RANGE - 1}"}) as answer:
                    if answer.status != 206 or len(await answer.read()) != RANGE:
                        raise RuntimeError(f"{url} answered {answer.status}")
                taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times[ours]), statistics.median(times[peer])
