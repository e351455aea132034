"""``/search/explain``: one page of a search is made, and told is not what was found, but how.

A route of its own rather than a parameter of ``/search``: clients read any 200 from there as items.
"""

import time

import msgspec
from aiohttp import web

from edges.catalogues.describing import Translating
from edges.registry import Registry, Site
from edges.stac.request import SearchRequest, search_from_get, search_from_post
from edges.tracing import tracing
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.explain import SiteTold, explanation
from gateway.search.federation import Federation
from gateway.search.plan import Plan
from gateway.settings import LimitSettings
from quotas.model import Line


class ExplainFace:
    """Explains searches; charged as the search itself."""

    def __init__(
        self, *, federation: Federation, registry: Registry, charging: Charging, limits: LimitSettings
    ) -> None:
        self._federation = federation
        self._registry = registry
        self._charging = charging
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.get("/search/explain", self.by_get), web.post("/search/explain", self.by_post)]

    async def by_get(self, request: web.Request) -> web.Response:
        """``GET /search/explain``, with the parameters of a search."""
        most = self._limits.page_items
        search = search_from_get(request.query, default_limit=self._limits.default_page_items, max_limit=most)
        return await self._answer(request, search)

    async def by_post(self, request: web.Request) -> web.Response:
        """``POST /search/explain``, with the body of a search."""
        most = self._limits.page_items
        body = await request.read()
        search = search_from_post(body, default_limit=self._limits.default_page_items, max_limit=most)
        return await self._answer(request, search)

    async def _answer(self, request: web.Request, search: SearchRequest) -> web.Response:
        principal = principal_of(request)
        lines = [Line(resource="requests", amount=1), Line(resource="items", amount=search.query.limit)]
        sight = self._federation.sight(principal)
        started = time.perf_counter()
        async with self._charging.request(principal, lines) as spending:
            with tracing() as trace:
                page = await self._federation.search(search.query, user=principal.user, token=search.token, sight=sight)
            spending.actual("items", len(page.groups))
        milliseconds = (time.perf_counter() - started) * 1e3
        sites = {site.id: _told(site, page.plan) for site in self._registry.sites()}
        document = explanation(search.query, page, trace, sites, milliseconds=milliseconds)
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
