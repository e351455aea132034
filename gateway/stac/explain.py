"""``/search/explain``: one page of a search is made, and told is not what was found, but how; also of one catalogue.

A route of its own rather than a parameter of ``/search``: clients read any 200 from there as items.
"""

import time
from typing import TypedDict

import msgspec
from aiohttp import web

from edges.catalogues.describing import Translating
from edges.model import Dedup
from edges.registry import Registry, Site
from edges.stac.request import SearchRequest, search_from_get, search_from_post
from edges.tracing import tracing
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.explain import SiteTold, explanation
from gateway.search.federation import Federation
from gateway.search.plan import Plan
from gateway.settings import LimitSettings
from gateway.stac.harmonised import Harmonised
from quotas.model import Line


class Defaults(TypedDict):
    """What a request is read by, as ``/search`` reads it."""

    default_limit: int
    max_limit: int
    default_dedup: Dedup


class ExplainFace:
    """Explains searches; charged as the search itself."""

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        charging: Charging,
        limits: LimitSettings,
        harmonised: Harmonised,
    ) -> None:
        self._harmonised = harmonised
        self._federation = federation
        self._registry = registry
        self._charging = charging
        self._defaults: Defaults = {
            "default_limit": limits.default_page_items,
            "max_limit": limits.page_items,
            "default_dedup": limits.default_dedup,
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face: of the whole lake, and of one site's catalogue."""
        paths = ("/search/explain", "/catalogs/{catalogue}/search/explain")
        return [route for path in paths for route in (web.get(path, self.by_get), web.post(path, self.by_post))]

    async def by_get(self, request: web.Request) -> web.Response:
        """``GET /search/explain``, with the parameters of a search."""
        return await self._answer(request, search_from_get(request.query, **self._defaults))

    async def by_post(self, request: web.Request) -> web.Response:
        """``POST /search/explain``, with the body of a search."""
        return await self._answer(request, search_from_post(await request.read(), **self._defaults))

    async def _answer(self, request: web.Request, search: SearchRequest) -> web.Response:
        principal = principal_of(request)
        scope = self._harmonised.scope(request.match_info.get("catalogue"), principal)
        query = msgspec.structs.replace(search.query, sites=scope.sites)
        lines = [Line(resource="requests", amount=1), Line(resource="items", amount=query.limit)]
        started = time.perf_counter()
        async with self._charging.request(principal, lines) as spending:
            with tracing() as trace:
                page = await self._federation.search(query, user=principal.user, token=search.token, sight=scope.sight)
            spending.actual("items", len(page.groups))
        milliseconds = (time.perf_counter() - started) * 1e3
        sites = {site.id: _told(site, page.plan) for site in self._harmonised.sites(scope)}
        reports = tuple(report for report in page.reports if scope.site in (None, report.site))
        told = msgspec.structs.replace(page, reports=reports)
        document = explanation(query, told, trace, sites, milliseconds=milliseconds)
        headers = {"Cache-Control": "no-store"}
        return web.Response(body=msgspec.json.encode(document), content_type="application/json", headers=headers)


def _told(site: Site, plan: Plan) -> SiteTold:
    asked = next((call.segments[0] for call in plan.calls if call.site == site.id), None)
    native, exact = asked, True
    if asked is not None and isinstance(site.catalogue, Translating):
        native, exact = site.catalogue.said(asked)
    return SiteTold(
        capabilities=site.capabilities_for(plan.order),
        quirks=tuple(site.quirks),
        native=native if native != asked else None,
        exact=exact,
    )
