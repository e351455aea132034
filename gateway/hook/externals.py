"""Catalogues outside, as sources of harvests: searched and read with the credentials that one order brought.

A token is shown to the catalogue that it is for and to that catalogue's own download hosts, and to nobody else,
wherever its items and redirects point.
"""

import secrets as randomness
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.http import Outbound, read_bounded
from edges.model import Json, Query
from gateway.hook.addresses import below, same_origin
from gateway.hook.external_items import item_of_product, products_filter
from gateway.hook.model import Catalogue, HookOrder
from gateway.hook.sealing import Sealer
from gateway.hook.tokens import CredentialsRefused, Tokens
from gateway.records import RecordTable
from harvest.model import FoundItem
from harvest.places import EXTERNAL, is_external
from harvest.seams import Search
from harvest.settings import HookSource

_SECONDS = 60.0
_MAX_ANSWER = 8 << 20
_NAME = "the catalogue"


def new_source_name(order_id: str) -> str:
    """Return a name for the catalogue of an order, which nobody can guess."""
    return f"{EXTERNAL}{order_id}-{randomness.token_hex(16)}"


class Externals:
    """Implements :class:`harvest.seams.Authorize`, and :class:`harvest.seams.Search` over what orders bring."""

    def __init__(
        self,
        *,
        orders: RecordTable[HookOrder],
        sealer: Sealer,
        outbound: Outbound,
        sources: Sequence[HookSource],
    ) -> None:
        self._orders = orders
        self._sealer = sealer
        self._outbound = outbound
        self._sources = sources
        self._tokens = Tokens(outbound=outbound)

    def forget(self, source: str) -> None:
        """Forget the token of an order that has ended."""
        self._tokens.forget(source)

    def searching(self, federated: Search) -> Search:
        """Return a search that asks an order's catalogue where one is named, and else the federation."""

        def search(query: Query) -> AsyncIterator[FoundItem]:
            named = [site for site in query.sites or () if is_external(site)]
            return self._find(named[0], query) if named else federated(query)

        return search

    async def authorize(self, site: str, url: str) -> Mapping[str, str]:
        """Return the header with the token of an order's catalogue, where a URL is that catalogue's.

        Raises:
            CredentialsRefused, SiteUnavailable: there is no token to be had.
        """
        if not is_external(site):
            return {}
        order, catalogue = await self._named(site)
        source = next((each for each in self._sources if below(catalogue.url, [each.url])), None)
        if source is None or not catalogue.token_url or not same_origin(url, [source.url, *source.downloads]):
            return {}
        secrets = self._sealer.open(order.sealed, owner=order.owner)
        token = await self._tokens.token(site, catalogue, secrets)
        bearer = catalogue.header.lower() == "authorization"
        return {catalogue.header: f"Bearer {token}" if bearer else token}

    async def _named(self, site: str) -> tuple[HookOrder, Catalogue]:
        order = await self._orders.find(site.removeprefix(EXTERNAL).partition("-")[0])
        if order is None or order.source != site or order.catalogue is None:
            raise CredentialsRefused("the order that brought these credentials is not there any more")
        if order.catalogue.token_url and not order.sealed:
            raise CredentialsRefused("the credentials were forgotten when their order ended")
        return order, order.catalogue

    async def _find(self, site: str, query: Query) -> AsyncIterator[FoundItem]:
        _, catalogue = await self._named(site)
        for identifier in query.ids or ():
            collection = next(iter(query.collections or ()), "")
            if catalogue.kind == "ODATA":
                item = await self._product(site, catalogue, collection, identifier)
            else:
                item = await self._item(site, catalogue, collection, identifier)
            if item is not None:
                yield FoundItem(site=site, item=item)

    async def _item(self, site: str, catalogue: Catalogue, collection: str, identifier: str) -> Json | None:
        """Return an item of a STAC API: by its address, or where there is none by a search."""
        path = f"collections/{quote(collection, safe='')}/items/{quote(identifier, safe='')}"
        found = await self._get(site, f"{catalogue.url}/{path}")
        if found is None:
            asked = f"collections={quote(collection, safe='')}&ids={quote(identifier, safe='')}&limit=1"
            page = await self._get(site, f"{catalogue.url}/search?{asked}")
            features = (page or {}).get("features")
            found = features[0] if isinstance(features, list) and features else None
        if not isinstance(found, dict) or found.get("id") != identifier:
            return None
        return {**found, "collection": collection}

    async def _product(self, site: str, catalogue: Catalogue, collection: str, identifier: str) -> Json | None:
        """Return a product of an OData catalogue (Copernicus CSC) as an item."""
        asked = quote(products_filter(identifier, collection), safe="")
        page = await self._get(site, f"{catalogue.url}/Products?$filter={asked}&$top=1")
        return item_of_product(page or {}, catalogue.url, collection, identifier)

    async def _get(self, site: str, url: str) -> Json | None:
        """Return a JSON object, or None where there is nothing (404)."""
        headers = {"Accept": "application/json, application/geo+json", **await self.authorize(site, url)}
        try:
            async with self._outbound.session.get(
                URL(url, encoded=True),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                allow_redirects=False,
            ) as response:
                body = await read_bounded(response, site=_NAME, limit=_MAX_ANSWER)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SiteUnavailable(_NAME, f"no answer: {type(error).__name__}") from error
        if status in (404, 410):
            return None
        if status in (401, 403):
            raise CredentialsRefused(f"the catalogue refuses these credentials (HTTP {status})")
        if status in (408, 425, 429, 500, 502, 503, 504):
            raise SiteUnavailable(_NAME, f"HTTP {status}")
        if status != 200:
            raise SiteMisbehaved(_NAME, f"HTTP {status}")
        return _decoded(body)


def _decoded(body: bytes) -> Json:
    try:
        found: Json = msgspec.json.decode(body, type=dict)
    except (msgspec.DecodeError, RecursionError) as error:
        raise SiteMisbehaved(_NAME, "its answer is no JSON object") from error
    return found
