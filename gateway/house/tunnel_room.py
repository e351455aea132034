"""The room of tunnels: edges that dial out only are reached through connections that they hold open."""

from gateway.house.house import House
from gateway.tunnel.face import TunnelFace
from gateway.tunnel.pool import Pool
from gateway.tunnel.ports import open_ports


async def add_tunnels(house: House) -> None:
    """Add the tunnels; to be done before anything asks a site that is behind one."""
    edges = {site.id: site.tunnel for site in house.settings.sites if site.tunnel is not None}
    pool = Pool()
    house.hang_ups.append(pool.close)
    house.routes += TunnelFace(pool=pool, edges=edges).routes()
    await house.stack.enter_async_context(open_ports(pool, {edge: settings.ports for edge, settings in edges.items()}))
