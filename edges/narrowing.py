"""What a collection can be asked for, given what was chosen already: a seam of sites, and the STAC API's way.

Source: OGC API Features part 3, section 6.2; HDA narrows the values of each queryable by the query parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from edges.model import Bytes, Json
from edges.observing import CallObserver
from edges.settings import CatalogueSettings
from edges.site_http import Ask, SiteHttp

MAX_BYTES = 8 << 20
MAX_PROPERTIES = 2_000
_OBJECT = msgspec.json.Decoder(Json)
Chosen = Mapping[str, Sequence[str]]
"""Values by the name of the property."""


class Narrowing(Protocol):
    """A site that tells which values are left."""

    async def queryables(self, collection: str, chosen: Chosen) -> Json | None:
        """Return the JSON schema of a collection's queryables, narrowed by what is chosen; None where it tells none.

        Raises:
            SiteUnavailable, SiteMisbehaved: the site failed.
        """
        ...


class StacNarrowing:
    """Implements :class:`Narrowing` for a STAC API. ``native`` gives the site's own names of a collection."""

    def __init__(
        self,
        *,
        site: str,
        catalogue: CatalogueSettings,
        session: aiohttp.ClientSession,
        native: Callable[[str], Sequence[str]],
        observer: CallObserver | None = None,
    ) -> None:
        self._http = SiteHttp(site=site, settings=catalogue, session=session, observer=observer)
        self._base = catalogue.url.rstrip("/")
        self._native = native
        self._headers = {"Authorization": f"Bearer {catalogue.token.reveal()}"} if catalogue.token is not None else {}

    async def queryables(self, collection: str, chosen: Chosen) -> Json | None:
        """Ask the site."""
        native = next(iter(self._native(collection)), collection)
        pairs = [(name, value) for name, values in chosen.items() for value in values]
        url = f"{self._base}/collections/{quote(native, safe='')}/queryables"
        ask = Ask(
            method="GET", url=f"{url}?{urlencode(pairs)}" if pairs else url, headers=self._headers, limit=MAX_BYTES
        )
        answer = await self._http.fetch(ask)
        return read_schema(answer.body) if answer.status < 300 else None


def read_schema(content: Bytes) -> Json | None:
    """Return an object's JSON schema, or None where it is none."""
    try:
        schema = _OBJECT.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(properties) > MAX_PROPERTIES:
        return None
    return schema | {"properties": {name: each for name, each in properties.items() if isinstance(each, dict)}}
