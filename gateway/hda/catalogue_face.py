"""What HDA tells without credentials: landing page, conformance, collections, services."""

from collections.abc import Iterable, Mapping

from aiohttp import web

from edges.model import MAX_LIMIT, Json
from edges.stac.documents import CONFORMANCE as OF_ITEMS
from edges.stac.documents import STAC_VERSION, conformance_page, entry_links
from edges.stac.links import GEOJSON_TYPE, JSON_TYPE, link, page_link, url_of
from edges.stac.request import body_of_get, search_of_body
from gateway.answers import json_answer, json_only
from gateway.hda.collections import HdaCollections, Naming
from gateway.hda.requests import pins_of, plain_datetime, sites_of
from gateway.hda.services import service_named, services_page
from gateway.principal import PRINCIPAL
from gateway.search.collection_search import search_collections
from gateway.settings import HdaService

ROOTS = ("/stac/v2", "/stac")
"""Where the face is asked: the current address, and the one before it, which sign-in still leads back to."""
_PAGE = 10_000
"""Collections on a page where no limit is asked: EODAG reads the first page only."""
_API = "https://api.stacspec.org"
CONFORMANCE = (
    *(one for one in OF_ITEMS if "sortables" not in one),
    f"{_API}/v1.0.0-rc.1/collection-search",
    f"{_API}/v1.0.0-rc.1/collection-search#free-text",
    f"{_API}/v1.0.0-rc.1/collection-search#advanced-free-text",
    f"{_API}/v1.0.0-rc.1/collection-search#query",
    f"{_API}/v1.0.0-rc.1/collection-search#filter",
)


class CatalogueFace:
    """Serves what describes the catalogue. ``root`` is the gateway's address, ``base`` that of the face."""

    def __init__(
        self, *, collections: HdaCollections, naming: Naming, services: Iterable[HdaService], root: str, base: str
    ) -> None:
        self._collections = collections
        self._naming = naming
        self._services: Mapping[str, HdaService] = {each.id: each for each in services}
        self._root = root
        self._base = base

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of both roots, and of the services."""
        below = [
            route
            for root in ROOTS
            for route in (
                web.get(root, json_only(self.landing)),
                web.get(f"{root}/", json_only(self.landing)),
                web.get(f"{root}/conformance", json_only(self.conformance)),
                web.get(f"{root}/collections", json_only(self.collections)),
                web.get(f"{root}/collections/{{collection}}", json_only(self.collection)),
            )
        ]
        return [
            *below,
            web.get("/services", json_only(self.services)),
            web.get("/services/{service}", json_only(self.service)),
        ]

    async def landing(self, request: web.Request) -> web.Response:
        """``GET /stac/v2``: the landing page (STAC API Core)."""
        return json_answer(request, _landing(self._base, self._root))

    async def conformance(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/conformance``."""
        return json_answer(request, conformance_page(CONFORMANCE))

    async def collections(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/collections``: those that match, on one page unless a limit is asked."""
        parameters = {name: value for name, value in request.query.items() if value.strip()}
        asked, sites = self._asked(parameters)
        seen = self._collections.seen_by(request.get(PRINCIPAL))
        search = search_of_body(asked, default_limit=_PAGE, max_limit=MAX_LIMIT)
        page = search_collections(seen.held_by(sites), search)
        own = url_of(self._base, "collections")
        beside = [
            page_link(rel, own, list(request.query.items()), token)
            for rel, token in (("next", page.next), ("prev", page.previous))
            if token is not None
        ]
        content = {
            "collections": page.collections,
            "links": [
                link("self", own, JSON_TYPE, "Collections"),
                link("root", url_of(self._base), JSON_TYPE, "Root"),
                *beside,
            ],
            "numberMatched": page.matched,
            "numberReturned": len(page.collections),
        }
        return json_answer(request, content)

    def _asked(self, parameters: Mapping[str, str]) -> tuple[Json, tuple[str, ...] | None]:
        """Return the search, without its pins, and the sites that they name."""
        asked = body_of_get(parameters)
        pins: list[str] = []
        if "query" in asked:
            asked["query"], pins = pins_of(asked["query"])
        if "datetime" in asked:
            asked["datetime"] = plain_datetime(asked["datetime"])
        for name in ("provider", "federation:backends"):
            if name in parameters:
                pins += parameters[name].split(",")
        return asked, sites_of(pins, self._naming.sites) if pins else None

    async def collection(self, request: web.Request) -> web.Response:
        """``GET /stac/v2/collections/{collection}``."""
        return json_answer(
            request, self._collections.seen_by(request.get(PRINCIPAL)).one(request.match_info["collection"])
        )

    async def services(self, request: web.Request) -> web.Response:
        """``GET /services``, also those that ``?q=`` finds."""
        return json_answer(
            request, services_page(self._services.values(), self._root, request.query.get("q", "")), GEOJSON_TYPE
        )

    async def service(self, request: web.Request) -> web.Response:
        """``GET /services/{service}``."""
        found = service_named(self._services, request.match_info["service"], self._root)
        return json_answer(request, found, GEOJSON_TYPE)


def _landing(base: str, root: str) -> Json:
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "lakegate-hda",
        "title": "Lakegate, as Harmonised Data Access",
        "description": "One catalogue over many data lakes, as clients of the Destination Earth Data Lake speak it.",
        "conformsTo": list(CONFORMANCE),
        "links": [
            *entry_links(base, root=base, described=root),
            link("services", url_of(root, "services"), GEOJSON_TYPE, "Services"),
        ],
    }
