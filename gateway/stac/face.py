"""The harmonised catalogue as a STAC API (1.0.0), and each site's part of it as a catalogue of its own."""

from aiohttp import web

from edges.errors import InvalidInput
from edges.model import Json
from edges.registry import Registry, Site
from edges.stac.documents import OPENAPI_TYPE, conformance_page
from edges.stac.openapi_page import openapi_page
from gateway.answers import body_answer, json_answer, json_only
from gateway.principal import principal_of
from gateway.quota.charging import Charging
from gateway.search.federation import Federation
from gateway.settings import LimitSettings
from gateway.stac.collections_face import CollectionsFace
from gateway.stac.conformance import CONFORMANCE, OF_A_CATALOGUE, OF_WRITING
from gateway.stac.harmonised import Harmonised
from gateway.stac.landing import KINDS, SiteTold, catalogue, catalogues_page, children_page, landing_page
from gateway.stac.openapi import openapi_document
from gateway.stac.own_collections import OwnCollections
from gateway.stac.sampling import Sampling
from gateway.stac.scope import Scope
from gateway.stac.search_face import SearchFace


class StacFace:
    """Serves landing pages, catalogues, and what says what is served; with the faces of collections and items.

    ``base`` is the public URL that links are built from. ``own`` are users' own collections.
    """

    def __init__(
        self,
        *,
        federation: Federation,
        registry: Registry,
        charging: Charging,
        limits: LimitSettings,
        base: str,
        own: OwnCollections | None = None,
    ) -> None:
        self._base = base
        written = own is not None and own.kept
        self._conformance = (*CONFORMANCE, *(OF_WRITING if written else ()))
        self._harmonised = Harmonised(registry=registry, base=base, access=federation.access)
        self._collections = CollectionsFace(
            harmonised=self._harmonised, sampling=Sampling(federation=federation), own=own or OwnCollections()
        )
        self._search = SearchFace(
            federation=federation,
            registry=registry,
            charging=charging,
            limits=limits,
            harmonised=self._harmonised,
            own=own or OwnCollections(),
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        one = "/catalogs/{catalogue}"
        return [
            web.get("/", json_only(self.landing)),
            web.get("/api", json_only(self.api)),
            web.get("/api.html", json_only(self.api_page, ("text/html",))),
            web.get("/catalogs", json_only(self.catalogues)),
            web.get(one, json_only(self.catalogue)),
            web.get(f"{one}/catalogs", json_only(self.catalogues)),
            *(web.get(f"{root}/conformance", json_only(self.conformance)) for root in ("", one)),
            *(web.get(f"{root}/children", json_only(self.children)) for root in ("", one)),
            *self._collections.routes(),
            *self._search.routes(),
        ]

    async def landing(self, request: web.Request) -> web.Response:
        """``GET /`` (STAC API Core)."""
        scope = self._scope(request)
        sites = [_told(site) for site in self._harmonised.sites(scope)]
        page = landing_page(scope, sites, self._harmonised.collections(scope).values())
        return json_answer(request, page | {"conformsTo": list(self._conformance)})

    async def conformance(self, request: web.Request) -> web.Response:
        """``GET /conformance``, also of one catalogue."""
        scope = self._scope(request)
        return json_answer(request, conformance_page(self._conformance if scope.site is None else OF_A_CATALOGUE))

    async def api(self, request: web.Request) -> web.Response:
        """``GET /api``: the OpenAPI description."""
        return json_answer(request, openapi_document(self._base), OPENAPI_TYPE)

    async def api_page(self, request: web.Request) -> web.Response:
        """``GET /api.html``: the same for a person."""
        page = openapi_page(openapi_document(self._base))
        return body_answer(request, page.encode(), "text/html; charset=utf-8")

    async def catalogues(self, request: web.Request) -> web.Response:
        """``GET /catalogs``: the sites as catalogues; below a site there is none."""
        scope = self._scope(request)
        return json_answer(request, catalogues_page(scope, self._below(scope)))

    async def catalogue(self, request: web.Request) -> web.Response:
        """``GET /catalogs/{catalogue}``: the landing page of one site's catalogue."""
        scope = self._scope(request)
        return json_answer(request, self._catalogue(scope, self._harmonised.sites(scope)[0]))

    async def children(self, request: web.Request) -> web.Response:
        """``GET /children``, also of one catalogue; ``?type=Catalog`` or ``?type=Collection`` for some of them."""
        scope = self._scope(request)
        kind = request.query.get("type") or None
        if kind not in (None, *KINDS):
            raise InvalidInput("type", repr(kind)[:40], " or ".join(KINDS))
        children = [*self._below(scope), *self._harmonised.collections(scope).values()]
        return json_answer(request, children_page(scope, children, kind))

    def _below(self, scope: Scope) -> list[Json]:
        """Return the catalogues below a scope."""
        if scope.site is not None:
            return []
        return [
            self._catalogue(Scope(base=self._base, site=site.id, sight=scope.sight), site)
            for site in self._harmonised.sites(scope)
        ]

    def _catalogue(self, scope: Scope, site: Site) -> Json:
        return catalogue(scope, _told(site), self._harmonised.collections(scope).values())

    def _scope(self, request: web.Request) -> Scope:
        return self._harmonised.scope(request.match_info.get("catalogue"), principal_of(request))


def _told(site: Site) -> SiteTold:
    return SiteTold(id=site.id, title=site.settings.title or site.id, kind=site.settings.kind)
