"""``bridges.json``: the registry of sites that the multi-cluster client of DestinE's STACK reads.

That client (``dedl_stack_client`` 2025.5) makes one Dask Gateway client per entry. Each entry leads here again, below a
path that pins its edge (:data:`gateway.dask.face.PINNED`), so that one address, login and quota hold for all.
"""

from collections.abc import Mapping

import msgspec
from aiohttp import web
from yarl import URL

from edges.model import Frozen


class Bridge(Frozen):
    """One site as users know it, and how far its clusters may grow, in workers."""

    edge: str
    title: str
    most_workers: int


class Bridges:
    """The route ``/bridges.json``. ``base`` is the gateway's public URL."""

    def __init__(self, *, bridges: Mapping[str, Bridge], base: str) -> None:
        self._document = msgspec.json.encode({name: _entry(bridge, base) for name, bridge in bridges.items()})

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.get("/bridges.json", self._serve)]

    async def _serve(self, request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")


def _entry(bridge: Bridge, base: str) -> dict[str, object]:
    url = URL(base)
    return {
        "name": bridge.title or bridge.edge,
        "address": f"{base}/dask/{bridge.edge}",
        "proxy_address": f"tcp://{url.host}:{url.port}",
        "default_config": {"min": min(2, bridge.most_workers), "max": bridge.most_workers},
    }
