"""``/sites``: who is there, how they are, and what they were caught at; ``/health`` and ``/metrics``."""

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from edges.errors import NotFound
from edges.model import Json
from edges.registry import Registry, Site
from gateway.principal import principal_of


class SitesFace:
    """Tells of the sites. The reasons of failures are for named users only: they may hold internal addresses."""

    def __init__(self, *, registry: Registry, metrics: CollectorRegistry) -> None:
        self._registry = registry
        self._metrics = metrics
        self._up = Gauge("lakegate_site_up", "Whether the site may be asked.", ("site",), registry=metrics)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [
            web.get("/sites", self.sites),
            web.get("/sites/{site}", self.site),
            web.get("/health", self.health),
            web.get("/metrics", self.expose),
        ]

    async def sites(self, request: web.Request) -> web.Response:
        """``GET /sites``."""
        told = not principal_of(request).anonymous
        return _json({"sites": [_told(site, reasons=told) for site in self._registry.sites()]})

    async def site(self, request: web.Request) -> web.Response:
        """``GET /sites/{site}``."""
        told = not principal_of(request).anonymous
        site = self._registry.get(request.match_info["site"])
        if site is None:
            known = ", ".join(each.id for each in self._registry.sites())
            raise NotFound(f"no site {request.match_info['site']!r}; sites: {known}")
        return _json(_told(site, reasons=told))

    async def health(self, request: web.Request) -> web.Response:
        """``GET /health``: 200 as long as we can answer; a lost site is no reason to restart the gateway."""
        return _json({"status": "pass"})

    async def expose(self, request: web.Request) -> web.Response:
        """``GET /metrics``."""
        for site in self._registry.sites():
            self._up.labels(site.id).set(1 if site.pulse.available else 0)
        response = web.Response(body=generate_latest(self._metrics))
        response.headers["Content-Type"] = CONTENT_TYPE_LATEST
        return response


def _told(site: Site, *, reasons: bool) -> Json:
    health = msgspec.to_builtins(site.health)
    return {
        "id": site.id,
        "title": site.settings.title or site.id,
        "kind": site.settings.kind,
        "profile": site.settings.catalogue.profile or None,
        "health": health if reasons else health | {"reason": ""},
        "collections": sorted(site.collection_ids) if site.collection_ids is not None else None,
        "capabilities": msgspec.to_builtins(site.capabilities),
        "quirks": site.quirks,
        "storage": site.settings.storage is not None,
        "dask": site.settings.dask is not None,
        "kernels": site.settings.kernels is not None,
    }


def _json(content: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
