"""The composition root: builds everything, owns every lifetime. Nobody else constructs.

Lifetimes are entered in order and left in reverse: the listener closes first, the ledger and the stores last.
"""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web
from isal import isal_zlib

from edges.hops import name_of_gateway
from edges.http import Outbound
from gateway.compute_metrics import tell_comms
from gateway.dask.clusters import Clusters
from gateway.house.adapters import allowed_origins, public_url, signing_key_of, tls_of
from gateway.house.catalogue_room import add_catalogue
from gateway.house.compute_room import add_clusters, add_kernels
from gateway.house.contributed_room import add_contributed
from gateway.house.data_room import add_data
from gateway.house.harvest_room import add_harvests
from gateway.house.hda_room import add_hda
from gateway.house.house import Calls, House
from gateway.house.tracing_room import add_tracing
from gateway.house.tunnel_room import add_tunnels
from gateway.left_behind import check_nothing_left_behind
from gateway.listener import Listener
from gateway.settings import Settings

_DATA_CONNECTIONS = 1_000
_COLLECTED_AT = (10_000, 20, 20)
"""When cyclic garbage is looked for: a page of items is thousands of objects in no cycle, looked through in vain."""


async def furnish(settings: Settings, stack: AsyncExitStack) -> tuple[House, Clusters]:
    """Build the house with all its rooms, into a stack of lifetimes; its clusters are what comms are routed by.

    Raises:
        LeftBehind: the state folder holds work that the database does not know.
    """
    check_nothing_left_behind(settings)
    key = signing_key_of(settings)
    allowed = allowed_origins(settings)
    spans = await add_tracing(settings, stack)
    calls = Calls(
        data=await stack.enter_async_context(
            Outbound(allowed=allowed, connections=_DATA_CONNECTIONS, name=name_of_gateway(key), tracer=spans)
        ),
        compute=await stack.enter_async_context(Outbound(allowed=allowed, tracer=spans)),
        spans=spans,
    )
    house = House(settings, stack, calls, base=public_url(settings), key=key)
    await add_tunnels(house)
    await house.open()
    contributed = await add_contributed(house)
    await add_catalogue(house, contributed)
    clusters = await add_clusters(house)
    await add_kernels(house)
    await add_harvests(house)
    await add_data(house, others=[await add_hda(house)], keyed=contributed.data)
    return house, clusters


@asynccontextmanager
async def running_gateway(settings: Settings, *, draining: asyncio.Event | None = None) -> AsyncIterator[str]:
    """Run the gateway while the context lasts; yield the URL that it listens at.

    While ``draining`` is set it serves, and says that it is not ready for more.

    Raises:
        OSError: the address cannot be bound, or the state folder not written.
        LookupError: a secret cannot be read.
    """
    aiohttp.set_zlib_backend(isal_zlib)
    base = public_url(settings)
    async with AsyncExitStack() as stack:
        house, clusters = await furnish(settings, stack)
        house.add_readiness(draining or asyncio.Event())
        runner = web.AppRunner(house.application(), access_log=None, shutdown_timeout=settings.server.shutdown_seconds)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        if runner.server is None:
            raise RuntimeError("the runner has no server after its setup")
        listener = Listener(http=runner.server, routes=clusters, tls=tls_of(settings))
        tell_comms(house.metrics, lambda: listener.comms)
        await stack.enter_async_context(listener.serving(settings.server.host, settings.server.port))
        yield base


async def serve_gateway(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT; ``ready`` is told the URL once it listens.

    Before it stops it says for ``drain_seconds`` that it is not ready, so that nobody sends it more.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_gateway(settings, draining=stop) as url:
        gc.collect()
        gc.freeze()  # what stands now stands to the end
        gc.set_threshold(*_COLLECTED_AT)
        ready(url)
        await stop.wait()
        await asyncio.sleep(settings.server.drain_seconds)
