"""What passing through the gateway costs a computation, and what a placement costs.

Comms: round trips of small messages over two routers in a row (gateway, edge) against one (edge), in turns, each server
in a process of its own. Kernels: the same for websocket messages, through the proxy of the Jupyter face against the
bare edge; and the memory of the proxy's process with many channels open. Placement: all that decides, from measured
items to ranked edges.
"""

import asyncio
import json
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.compute_servers import channels, echo, proxied, router, server
from benchmarks.harness import Row
from edges.model import Members
from gateway.placement.holdings import weigh
from gateway.placement.rank import Demand, EdgeFacts, rank
from gateway.placement.sizing import Copy, Scene, copy_of

MOST_COMM_MS = 0.15
MOST_MESSAGE_MS = 0.5
MOST_CHANNEL_KIB = 128.0
MOST_GROWTH = 1.05
MOST_PLACEMENT_MS = 50.0
MOST_MEASURE_US = 100.0
"""Of one item with 20 assets."""
EDGES = tuple(f"edge-{number}" for number in range(8))

Trip = Callable[[], Awaitable[None]]


def run(*, quick: bool = False) -> list[Row]:
    """Return all rows."""
    trips = 50 if quick else 1_000
    many = 100 if quick else 1_000
    items = 1_000 if quick else 10_000
    return [
        asyncio.run(_comms(trips)),
        *asyncio.run(_websockets(trips, many)),
        *_placements(items),
    ]


def _hello() -> bytes:
    """Return a real ClientHello that names a cluster."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="daskgateway-bench")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise RuntimeError("a handshake ended by itself")


async def _comms(trips: int) -> Row:
    with server(echo) as (scheduler, _), server(router, scheduler) as (edge, _), server(router, edge) as (centre, _):
        async with AsyncExitStack() as stack:
            near, far = await _comm(edge, stack), await _comm(centre, stack)
            direct, through = await _in_turns(near, far, trips)
    added = through - direct
    return Row(
        work="comm: round trip added to the edge's own proxy", unit="ms", ours=added, ratio=added / MOST_COMM_MS,
        target=f"<= {MOST_COMM_MS} ms", held=added <= MOST_COMM_MS,
        peer=direct, peer_name="ms over the edge's router alone",
    )  # fmt: skip


async def _comm(port: int, stack: AsyncExitStack) -> Trip:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    hello, message = _hello(), b"x" * 200
    writer.write(hello)
    await reader.readexactly(len(hello))

    async def trip() -> None:
        writer.write(message)
        await reader.readexactly(len(message))

    return trip


async def _in_turns(first: Trip, second: Trip, trips: int) -> tuple[float, float]:
    """Return the medians of both in milliseconds, trip by trip in turns: noise falls on both alike."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(trips):
        for trip, times in zip((first, second), taken, strict=True):
            started = time.perf_counter()
            await trip()
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken[0]), statistics.median(taken[1])


async def _websockets(trips: int, many: int) -> list[Row]:
    with server(channels) as (edge, _), server(proxied, edge) as (gateway, process):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, AsyncExitStack() as stack:
            near = _message(await stack.enter_async_context(session.ws_connect(f"http://127.0.0.1:{edge}/")))
            far = _message(await stack.enter_async_context(session.ws_connect(f"http://127.0.0.1:{gateway}/")))
            direct, through = await _in_turns(near, far, trips)
            before = _resident_kib(process)
            url = f"http://127.0.0.1:{gateway}/"
            opened = [await stack.enter_async_context(session.ws_connect(url)) for _ in range(many)]
            await _spoken(opened, times=2)
            open_kib = _resident_kib(process)
            await _spoken(opened, times=20)
            after = _resident_kib(process)
    added, each, growth = through - direct, (open_kib - before) / many, after / open_kib
    return [
        Row(
            work="kernel: round trip of a message added to the edge's", unit="ms", ours=added,
            ratio=added / MOST_MESSAGE_MS, target=f"<= {MOST_MESSAGE_MS} ms", held=added <= MOST_MESSAGE_MS,
            peer=direct, peer_name="ms at the edge",
        ),
        Row(
            work=f"kernel: memory of one of {many:,} open channels", unit="KiB", ours=each,
            ratio=each / MOST_CHANNEL_KIB, target=f"<= {MOST_CHANNEL_KIB:g} KiB", held=each <= MOST_CHANNEL_KIB,
        ),
        Row(
            work=f"kernel: memory after {20 * many:,} messages, to before", unit="MiB", ours=after / 1024,
            ratio=growth, target=f"<= {MOST_GROWTH}", held=growth <= MOST_GROWTH,
            peer=open_kib / 1024, peer_name="MiB before",
        ),
    ]  # fmt: skip


def _message(socket: aiohttp.ClientWebSocketResponse) -> Trip:
    text = json.dumps({"header": {"msg_id": "x" * 32}, "content": {"text": "y" * 800}, "channel": "iopub"})

    async def trip() -> None:
        await socket.send_str(text)
        await socket.receive()

    return trip


async def _spoken(sockets: list[aiohttp.ClientWebSocketResponse], *, times: int) -> None:
    for _ in range(times):
        await asyncio.gather(*(_message(socket)() for socket in sockets))


def _resident_kib(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel does not tell the memory of a process")


def _placements(items: int) -> list[Row]:
    scenes = [_scene(number) for number in range(items)]
    facts = tuple(EdgeFacts(id=edge, computes=True, available=True, cores=64.0, free_cores=32.0) for edge in EDGES)
    demand = Demand(cores=4.0)
    placing = _median_ms(
        lambda: rank(weigh(scenes, limit=items), facts, wish=None, about_data=True, demand=demand), rounds=9
    )
    item = _item()
    measuring = _median_ms(lambda: [copy_of(item) for _ in range(1_000)], rounds=5)
    return [
        Row(
            work=f"placement: {items:,} items over {len(EDGES)} edges", unit="ms", ours=placing,
            ratio=placing / MOST_PLACEMENT_MS, target=f"<= {MOST_PLACEMENT_MS:g} ms",
            held=placing <= MOST_PLACEMENT_MS,
        ),
        Row(
            work="placement: size of one item of 20 assets", unit="us", ours=measuring,
            ratio=measuring / MOST_MEASURE_US, target=f"<= {MOST_MEASURE_US:g} us", held=measuring <= MOST_MEASURE_US,
        ),
    ]  # fmt: skip


def _scene(number: int) -> Scene:
    """Return an item at four of the edges; one in ten tells its size at some of them only."""
    sites = tuple(EDGES[(number + step) % len(EDGES)] for step in (0, 1, 3, 6))
    told = Copy(known=1_000_000 + number)
    copies = (told, told, told, Copy(unknown=2)) if number % 10 == 0 else (told, told, told, told)
    return Scene(collection=f"c{number % 5}", sites=sites, copies=copies)


def _item() -> Members:
    asset = {
        "href": "s3://lake/" + "x" * 80, "type": "image/jp2", "roles": ["data"], "file:size": 123_456_789,
        "proj:shape": [10980, 10980], "raster:bands": [{"data_type": "uint16", "scale": 0.0001, "nodata": 0}],
    }  # fmt: skip
    document = {"assets": {f"B{n:02}": asset for n in range(20)}, "properties": {"proj:epsg": 32633}}
    return msgspec.json.decode(msgspec.json.encode(document), type=Members)


def _median_ms(function: Callable[[], object], *, rounds: int) -> float:
    """Return the median CPU milliseconds: what other programs take is not ours."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        function()
        times.append((time.process_time() - started) * 1e3)
    return statistics.median(times)
