"""Both ends of a tunnel in one process: a gateway that edges dial, and an edge with services of its own."""

import os
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from free_ports import free_port
from served_app import served
from waiting import until

from edges.settings import Secret, TunnelSettings
from gateway.tunnel.edge import Tunnel
from gateway.tunnel.edge_settings import EdgeTunnelSettings
from gateway.tunnel.face import TunnelFace
from gateway.tunnel.pool import Pool
from gateway.tunnel.ports import open_ports

SECRET = "tunnel-secret-of-these-tests-32-bytes"
VARIABLE = "LAKEGATE_TESTS_TUNNEL"
os.environ[VARIABLE] = SECRET


@web.middleware
async def told(request, handler):
    try:
        return await handler(request)
    except Exception as error:
        raise web.HTTPForbidden(text=str(error)) from error


@asynccontextmanager
async def gateway_end(ports, *, port=0):
    """Run what edges dial; yield its pool and URL."""
    pool = Pool()
    app = web.Application(middlewares=[told])
    app.add_routes(
        TunnelFace(pool=pool, edges={"edge-t": TunnelSettings(secret=Secret(env=VARIABLE), ports=ports)}).routes()
    )

    async def hang_up(_):
        await pool.close()

    app.on_shutdown.append(hang_up)
    async with served(app, port=port, shutdown_timeout=2) as url, open_ports(pool, {"edge-t": ports}):
        yield pool, url


def edge_end(url, services, **more):
    settings = EdgeTunnelSettings(
        gateways=(url,), edge="edge-t", secret=Secret(env=VARIABLE), services=services, **({"waiting": 3} | more)
    )
    return Tunnel(settings, first_pause_seconds=0.05)


@asynccontextmanager
async def tunnelled(services, **more):
    """Open a tunnel to services (name: port at the edge); yield the gateway's ports by name."""
    ports = {name: free_port() for name in services}
    addresses = {name: f"127.0.0.1:{port}" for name, port in services.items()}
    async with AsyncExitStack() as stack:
        pool, url = await stack.enter_async_context(gateway_end(ports))
        await stack.enter_async_context(edge_end(url, addresses, **more).running())
        await until(lambda: pool.told("edge-t")[0] > 0)
        yield ports
