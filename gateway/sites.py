"""``/sites``: who is there, how they are, and what they were caught at; ``/health`` and ``/metrics``."""

from datetime import UTC, datetime

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from edges.errors import NotFound
from edges.model import Json
from edges.quirks import Quirk
from edges.registry import Registry, Site
from gateway.principal import Principal, principal_of
from gateway.search.access import Access
from gateway.search.sight import Sight
from gateway.site_metrics import SiteMetrics


class SitesFace:
    """Tells of the sites.

    The reasons of failures are for named users only, since they may tell of the sites' insides; the requests that show
    a quirk are for administrators only, since they hold what users searched for.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        metrics: CollectorRegistry,
        watched: SiteMetrics,
        access: Access | None = None,
    ) -> None:
        self._registry = registry
        self._access = access or Access(registry=registry)
        self._metrics = metrics
        self._watched = watched

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
        principal = principal_of(request)
        sight, told = self._access.sight(principal), not principal.anonymous
        sites = [site for site in self._registry.sites() if sight.present(site.id)]
        return _json({"sites": [_told(site, sight, reasons=told) for site in sites]})

    async def site(self, request: web.Request) -> web.Response:
        """``GET /sites/{site}``: with what it claims, what it was caught at, and how its breaker stands."""
        principal = principal_of(request)
        sight = self._access.sight(principal)
        site = self._registry.get(request.match_info["site"])
        if site is None or not sight.present(site.id):
            known = ", ".join(each.id for each in self._registry.sites() if sight.present(each.id))
            raise NotFound(f"no site {request.match_info['site']!r}; sites: {known}")
        return _json(_told(site, sight, reasons=not principal.anonymous) | _reported(site, principal))

    async def health(self, request: web.Request) -> web.Response:
        """``GET /health``: 200 as long as we can answer; a lost site is no reason to restart the gateway."""
        return _json({"status": "pass"})

    async def expose(self, request: web.Request) -> web.Response:
        """``GET /metrics``."""
        for site in self._registry.sites():
            self._watched.look(site)
        response = web.Response(body=generate_latest(self._metrics))
        response.headers["Content-Type"] = CONTENT_TYPE_LATEST
        return response


def _told(site: Site, sight: Sight, *, reasons: bool) -> Json:
    health = msgspec.to_builtins(site.health)
    seen = None if site.collection_ids is None else sight.seen(site.id, site.collection_ids)
    return {
        "id": site.id,
        "title": site.settings.title or site.id,
        "kind": site.settings.kind,
        "profile": site.settings.catalogue.profile or None,
        "provider": site.settings.catalogue.eodag.provider if site.settings.catalogue.eodag is not None else None,
        "health": health if reasons else health | {"reason": ""},
        "collections": None if seen is None else sorted(seen),
        "capabilities": msgspec.to_builtins(site.capabilities),
        "quirks": site.quirks,
        "storage": site.settings.storage is not None,
        "dask": site.settings.dask is not None,
        "kernels": site.settings.kernels is not None,
    }


def _reported(site: Site, principal: Principal) -> Json:
    pulse = site.pulse
    return {
        "claims": msgspec.to_builtins(site.claimed),
        "caught": [_quirk(quirk, example=principal.admin) for quirk in site.quirk_report],
        "breaker": {
            "state": pulse.state(site.clock()),
            "failures_in_a_row": pulse.failures,
            "times_left_out": pulse.trips,
            "asked_again_after": _moment(pulse.open_until),
            "last_success": _moment(pulse.last_success),
            "last_failure": _moment(pulse.last_failure),
        },
    }


def _quirk(quirk: Quirk, *, example: bool) -> Json:
    told: Json = {
        "kind": quirk.kind,
        "text": quirk.text,
        "since": _moment(quirk.since),
        "last": _moment(quirk.last),
        "count": quirk.count,
    }
    return told | {"example": quirk.example} if example else told


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _json(content: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
