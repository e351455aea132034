"""A site's catalogue on the network: the application, and a server that owns its socket and its end."""

import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from edges.catalogues.aggregating import Aggregating
from edges.model import Frozen
from edges.seams import WritableCatalogue
from edges.site.aggregation_face import CONFORMANCE as COUNTING
from edges.site.aggregation_face import AggregationFace
from edges.site.problems import cors_middleware, problems_middleware
from edges.site.stac_face import SiteDescription, SiteStacFace
from edges.site.transactions import CONFORMANCE, MAX_BODY_BYTES, TransactionFace

_log = logging.getLogger(__name__)


class SiteServerSettings(Frozen):
    """Where a site listens. Port 0 takes a free one.

    ``public_url`` is what links are built from, by default the address that was bound. ``write_token`` is the
    secret that may write; without one nobody can. ``shutdown_seconds`` is what requests under way are given.
    """

    host: str = "127.0.0.1"
    port: int = 0
    public_url: str = ""
    title: str = "Lakegate site"
    write_token: str | None = None
    shutdown_seconds: float = 10.0


def site_application(
    catalogue: WritableCatalogue,
    site: SiteDescription,
    *,
    write_token: str | None = None,
    more: Sequence[web.RouteDef] = (),
) -> web.Application:
    """Return the application that serves a catalogue; it can be written to where there is a ``write_token``.

    ``more`` are routes of what else the edge runs beside it.
    """
    app = web.Application(middlewares=[cors_middleware, problems_middleware], client_max_size=MAX_BODY_BYTES)
    counts = isinstance(catalogue, Aggregating)
    extra = (*(CONFORMANCE if write_token else ()), *(COUNTING if counts else ()))
    app.add_routes(
        SiteStacFace(catalogue=catalogue, site=site, extra=extra, writable=bool(write_token), counts=counts).routes()
    )
    if isinstance(catalogue, Aggregating):
        app.add_routes(AggregationFace(catalogue=catalogue, counting=catalogue, base=site.base).routes())
    if write_token:
        app.add_routes(TransactionFace(catalogue=catalogue, base=site.base, token=write_token).routes())
    app.add_routes(more)
    return app


@asynccontextmanager
async def serving(
    catalogue: WritableCatalogue, settings: SiteServerSettings, more: Sequence[web.RouteDef] = ()
) -> AsyncIterator[str]:
    """Serve a catalogue while the context is open; gives the public URL. The catalogue stays the caller's.

    Raises:
        OSError: the address cannot be bound.
    """
    listener = _bound(settings.host, settings.port)
    try:
        base = settings.public_url.rstrip("/") or _address(listener)
        site = SiteDescription(base=base, title=settings.title)
        runner = web.AppRunner(
            site_application(catalogue, site, write_token=settings.write_token, more=more),
            access_log=None,
            shutdown_timeout=settings.shutdown_seconds,
        )
    except BaseException:  # nobody else closes the socket yet
        listener.close()
        raise
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        _log.info("site listens", extra={"url": base})
        yield base
    finally:
        await runner.cleanup()
        listener.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
