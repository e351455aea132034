"""``GET /edges/{edge}/tunnel``: an edge that dials out only holds websockets open here; each carries one stream.

The edge proves itself by the secret that the configuration names for it; users do not come here.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from edges.errors import InvalidInput
from edges.settings import TunnelSettings
from gateway.tunnel.pool import Pool
from gateway.tunnel.splicing import MAX_MESSAGE_BYTES

HEADER = "X-Lakegate-Edge-Secret"
MIN_SECRET_BYTES = 32


class NotThisEdge(Exception):
    """The secret is not that of the edge, or the edge has no tunnel."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Not this edge"


class TunnelFace:
    """Lets edges in.

    Raises:
        LookupError: an edge's secret cannot be read.
        ValueError: it is too short.
    """

    def __init__(self, *, pool: Pool, edges: Mapping[str, TunnelSettings]) -> None:
        self._pool = pool
        self._secrets = {edge: _digest(_checked(edge, settings)) for edge, settings in edges.items()}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/edges/{edge}/tunnel", self._hold)]

    async def _hold(self, request: web.Request) -> web.WebSocketResponse:
        edge = request.match_info["edge"]
        known = self._secrets.get(edge, b"")
        if not hmac.compare_digest(known, _digest(request.headers.get(HEADER, ""))):
            raise NotThisEdge(f"send the secret of edge {edge[:64]!r} as {HEADER}; its operator has it")
        websocket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        if not websocket.can_prepare(request).ok:
            raise InvalidInput("Upgrade", "this is no websocket handshake", "a websocket (RFC 6455)")
        await websocket.prepare(request)
        await self._pool.hold(edge, websocket)
        return websocket


def _checked(edge: str, settings: TunnelSettings) -> str:
    secret = settings.secret.reveal()
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"tunnel of {edge}: the secret must have {MIN_SECRET_BYTES} bytes or more")
    return secret


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
