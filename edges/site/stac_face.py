"""One catalogue as a STAC API 1.0.0: core, collections, features, item search, with sort, fields, query, filter."""

from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from edges.errors import NotFound
from edges.model import Frozen, Json, Members, Query
from edges.seams import Catalogue
from edges.site.bodies import bytes_response, json_response, read_body
from edges.site.openapi import openapi_document
from edges.site.schemas import queryables, sortables
from edges.stac import documents
from edges.stac.aggregation_document import aggregation_links
from edges.stac.fields import apply_fields
from edges.stac.limits import MAX_BODY_BYTES
from edges.stac.links import GEOJSON_TYPE, SCHEMA_TYPE, next_by_get, next_by_post, own_collection, own_item, url_of
from edges.stac.openapi_page import openapi_page
from edges.stac.request import SearchRequest, search_from_get, search_from_post

_SAMPLE = 100
"""Items that queryables are read off."""


class SiteDescription(Frozen):
    """What a site says of itself. ``base`` is its public URL: every link is built from it, never from a request."""

    base: str
    title: str = "Lakegate site"
    description: str = "The items of one site."
    id: str = "lakegate-site"
    default_limit: int = 10
    max_limit: int = 10_000


class SiteStacFace:
    """The reading half of a site. ``extra`` are the conformance classes of what else the site serves.

    ``writable`` and ``counts`` tell of two other faces: they are described and linked here.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        site: SiteDescription,
        extra: Sequence[str] = (),
        writable: bool = False,
        counts: bool = False,
    ) -> None:
        self._catalogue = catalogue
        self._site = site
        self._conformance = (*documents.CONFORMANCE, *extra)
        self._writable = writable
        self._counts = counts

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face; each GET answers HEAD too."""
        one = "/collections/{collection}"
        return [
            web.get("/", self.landing),
            web.get("/health", self.health),
            web.get("/conformance", self.conformance),
            web.get("/api", self.api),
            web.get("/api.html", self.api_page),
            web.get("/collections", self.collections),
            web.get(one, self.collection),
            web.get(f"{one}/items", self.items),
            web.get(f"{one}/items/{{item}}", self.item),
            web.get(f"{one}/queryables", self.queryables),
            web.get(f"{one}/sortables", self.sortables),
            web.get("/search", self.search_by_get),
            web.post("/search", self.search_by_post),
            web.get("/queryables", self.queryables),
            web.get("/sortables", self.sortables),
        ]

    async def landing(self, request: web.Request) -> web.Response:
        """``GET /`` (STAC API Core)."""
        page = documents.landing_page(
            base=self._site.base,
            catalogue_id=self._site.id,
            title=self._site.title,
            description=self._site.description,
            conformance=self._conformance,
            collections=await self._catalogue.collections(),
        )
        page["links"] += self._counted(self._site.base)
        return json_response(page)

    def _counted(self, own: str) -> list[Json]:
        return aggregation_links(own) if self._counts else []

    async def health(self, request: web.Request) -> web.Response:
        """``GET /health``: whether the catalogue answers."""
        await self._catalogue.search(Query(ids=()), limit=1)
        return json_response({"status": "up"})

    async def conformance(self, request: web.Request) -> web.Response:
        """``GET /conformance``."""
        return json_response(documents.conformance_page(self._conformance))

    async def api(self, request: web.Request) -> web.Response:
        """``GET /api``: the OpenAPI description."""
        return json_response(self._description(), documents.OPENAPI_TYPE)

    async def api_page(self, request: web.Request) -> web.Response:
        """``GET /api.html``: the same for a person."""
        return web.Response(text=openapi_page(self._description()), content_type="text/html")

    def _description(self) -> Json:
        return openapi_document(self._site.base, self._site.title, writable=self._writable, counts=self._counts)

    async def collections(self, request: web.Request) -> web.Response:
        """``GET /collections``, all on one page."""
        return json_response(documents.collections_page(await self._catalogue.collections(), self._site.base))

    async def collection(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}``."""
        collection = await self._collection(request.match_info["collection"])
        served = own_collection(collection, self._site.base)
        served["links"] += self._counted(url_of(self._site.base, "collections", str(collection["id"])))
        return json_response(served)

    async def _collection(self, name: str) -> Json:
        for collection in await self._catalogue.collections():
            if collection["id"] == name:
                return collection
        raise NotFound(f"there is no collection {name!r}")

    async def item(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/items/{item}``."""
        collection, item_id = request.match_info["collection"], request.match_info["item"]
        item = await self._catalogue.item(collection, item_id)
        if item is None:
            raise NotFound(f"there is no item {item_id!r} in collection {collection!r}")
        return bytes_response(msgspec.json.encode(own_item(item, self._site.base)), GEOJSON_TYPE)

    async def items(self, request: web.Request) -> web.Response:
        """``GET /collections/{collection}/items``, with the parameters of a search."""
        name = request.match_info["collection"]
        parent = await self._collection(name)
        search = self._by_get(request)
        query = msgspec.structs.replace(search.query, collections=(name,))
        own = url_of(self._site.base, "collections", str(parent["id"]), "items")
        parameters = list(request.query.items())
        return await self._answer(
            msgspec.structs.replace(search, query=query), own, lambda token: next_by_get(own, parameters, token)
        )

    async def search_by_get(self, request: web.Request) -> web.Response:
        """``GET /search``."""
        own, parameters = url_of(self._site.base, "search"), list(request.query.items())
        return await self._answer(self._by_get(request), own, lambda token: next_by_get(own, parameters, token))

    def _by_get(self, request: web.Request) -> SearchRequest:
        return search_from_get(request.query, default_limit=self._site.default_limit, max_limit=self._site.max_limit)

    async def search_by_post(self, request: web.Request) -> web.Response:
        """``POST /search``."""
        body = await read_body(request, MAX_BODY_BYTES)
        search = search_from_post(body, default_limit=self._site.default_limit, max_limit=self._site.max_limit)
        members: Json = msgspec.json.decode(body) if body.strip() else {}
        own = url_of(self._site.base, "search")
        return await self._answer(search, own, lambda token: next_by_post(own, members, token))

    async def _answer(self, search: SearchRequest, own: str, following: Callable[[str], Json]) -> web.Response:
        query = search.query
        batch = await self._catalogue.search(query, limit=query.limit, after=search.token)
        link = None if batch.next is None else following(batch.next)
        page = documents.item_collection(
            [self._rendered(item, query) for item in batch.items],
            links=documents.page_links(self._site.base, own, link),
            matched=batch.matched,
        )
        return bytes_response(page, GEOJSON_TYPE)

    def _rendered(self, item: Members, query: Query) -> Members:
        return apply_fields(own_item(item, self._site.base), query.fields)

    async def queryables(self, request: web.Request) -> web.Response:
        """``GET /queryables``, also of one collection."""
        sample = await self._sample(request)
        return json_response(queryables(sample, self._schema_url(request, "queryables")), SCHEMA_TYPE)

    async def sortables(self, request: web.Request) -> web.Response:
        """``GET /sortables``, also of one collection."""
        sample = await self._sample(request)
        return json_response(sortables(sample, self._schema_url(request, "sortables")), SCHEMA_TYPE)

    def _schema_url(self, request: web.Request, kind: str) -> str:
        name = request.match_info.get("collection")
        return url_of(self._site.base, *(() if name is None else ("collections", name)), kind)

    async def _sample(self, request: web.Request) -> list[Members]:
        name = request.match_info.get("collection")
        if name is not None:
            await self._collection(name)
        chosen = Query(collections=None if name is None else (name,))
        return list((await self._catalogue.search(chosen, limit=_SAMPLE)).items)
