"""Orders at a STAC API whose items, or collections, are ordered by POST (link ``retrieve``), as HDA does.

The answer is an item whose ``order:status`` tells how the order is; it is asked for again at its own address
(link ``self``). All of it stays at the site's own origin, below its own path, with the site's own credentials.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from edges.errors import SiteMisbehaved, SiteUnavailable
from edges.excerpts import excerpt
from edges.model import Json
from edges.next_links import followed
from edges.observing import CallObserver
from edges.ordering.model import OrderRefused, OrderReport, OrderStatus, status_of
from edges.retry import OVERLOADED
from edges.settings import CatalogueSettings, OrderSettings
from edges.site_http import Answer, Ask, SiteHttp
from edges.stac.hrefs import without_unsafe
from edges.stac.item_pages import DecodeErrors

ITEM = "id"
"""The parameter that names an item; an order of nothing else is made as its own link says."""
VIA, BACKENDS = "federation:via", "federation:backends"
KEY = "Idempotency-Key"
"""By which a provider tells an order that is given again (draft-ietf-httpapi-idempotency-key-header, section 2)."""
RELS = ("retrieve", "order")
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_LONGEST_PAUSE = 3_600.0
_MAX_BYTES = 1 << 20
"""Largest answer to an order: what was staged is kept as long as the order is."""


class StacOrders:
    """Implements :class:`edges.ordering.model.Ordering`. ``native`` gives the site's own names of a collection."""

    def __init__(
        self,
        *,
        site: str,
        catalogue: CatalogueSettings,
        settings: OrderSettings,
        session: aiohttp.ClientSession,
        native: Callable[[str], Sequence[str]],
        observer: CallObserver | None = None,
    ) -> None:
        self._site = site
        patient = msgspec.structs.replace(catalogue, timeout_seconds=settings.timeout_seconds)
        self._http = SiteHttp(site=site, settings=patient, session=session, observer=observer)
        self._base = URL(catalogue.url.rstrip("/"))
        self._native = native
        token = settings.token or catalogue.token
        self._headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}

    @property
    def repeats(self) -> bool:
        """Tell that orders may be given again: an order names its key, by which a provider can tell."""
        return True

    async def place(self, collection: str, parameters: Json, *, key: str = "") -> OrderReport:
        """Give an order: as the item's own link says, or with these parameters. ``key`` goes along (``KEY``)."""
        native = next(iter(self._native(collection)), collection)
        href, body = f"{self._base}/collections/{quote(native, safe='')}/order", _for_site(parameters)
        if parameters.keys() - {VIA} == {ITEM}:
            href, body = await self._link_of(native, str(parameters[ITEM]))
        answer = await self._ask("POST", href, body, key=key)
        if answer.status in (400, 404, 409, 422):
            raise OrderRefused(self._site, excerpt(answer.body) or f"answered {answer.status}")
        item = self._item(answer)
        return self._report(item, answer, {"href": self._own(item, native)})

    async def look(self, handle: Json) -> OrderReport:
        """Ask for the order's item."""
        answer = await self._ask("GET", self._checked(str(handle.get("href", ""))))
        if answer.status in (404, 410):
            return OrderReport(status="failed", handle=handle, reason="the provider knows of the order no more")
        return self._report(self._item(answer), answer, handle)

    async def cancel(self, handle: Json) -> bool:
        """Delete the order's item, where the site lets us."""
        with contextlib.suppress(SiteUnavailable, SiteMisbehaved):
            answer = await self._ask("DELETE", self._checked(str(handle.get("href", ""))))
            return answer.status < 300 or answer.status in (404, 410)
        return False

    async def _link_of(self, collection: str, item_id: str) -> tuple[str, Json]:
        place = f"{self._base}/collections/{quote(collection, safe='')}/items/{quote(item_id, safe='')}"
        answer = await self._ask("GET", place)
        if answer.status in (404, 410):
            raise OrderRefused(self._site, f"it has no item {item_id[:200]!r}")
        for link in _links(self._item(answer)):
            if link.get("rel") in RELS and isinstance(link.get("href"), str):
                body = link.get("body")
                return self._checked(link["href"], place), body if isinstance(body, dict) else {}
        raise OrderRefused(self._site, f"its item {item_id[:200]!r} cannot be ordered")

    async def _ask(self, method: str, href: str, body: Json | None = None, *, key: str = "") -> Answer:
        kind = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            kind[KEY] = f'"{key}"'
        return await self._http.fetch(
            Ask(
                method=method,
                url=href,
                body=msgspec.json.encode(body) if body is not None else None,
                headers=self._headers | kind,
                repeatable=method == "GET",
                limit=_MAX_BYTES,
            )
        )

    def _item(self, answer: Answer) -> Json:
        """Return an answer's item.

        Raises:
            SiteUnavailable, SiteMisbehaved: it holds none.
        """
        if answer.status in OVERLOADED or answer.status >= 500:
            raise SiteUnavailable(self._site, f"answered {answer.status}: {excerpt(answer.body)}", code="overloaded")
        if answer.status >= 300:
            raise SiteMisbehaved(self._site, f"answered {answer.status}: {excerpt(answer.body)}", code="refused")
        try:
            return _OBJECT.decode(answer.body)
        except DecodeErrors as error:
            raise SiteMisbehaved(self._site, "its answer to an order is no item") from error

    def _report(self, item: Json, answer: Answer, handle: Json) -> OrderReport:
        properties = item.get("properties")
        told = properties if isinstance(properties, dict) else {}
        status: OrderStatus = status_of(told.get("order:status")) or _by_tier(told.get("storage:tier"))
        reason = next((told[name] for name in ("order:message", "order:reason") if isinstance(told.get(name), str)), "")
        return OrderReport(
            status=status,
            handle=handle,
            item=without_unsafe(item)[0] if status == "succeeded" else None,
            reason=excerpt(reason.encode()) if status in ("failed", "canceled") else "",
            pause=_pause(answer.headers.get("retry-after", "")),
        )

    def _own(self, item: Json, collection: str) -> str:
        """Return where the order's item is asked for: at its own link, else by its id."""
        for link in _links(item):
            if link.get("rel") == "self" and isinstance(link.get("href"), str):
                with contextlib.suppress(SiteMisbehaved):  # a link to elsewhere is not followed
                    return self._checked(link["href"])
        name = item.get("id")
        if not isinstance(name, str) or not name:
            raise SiteMisbehaved(self._site, "its answer to an order has no id")
        return f"{self._base}/collections/{quote(collection, safe='')}/items/{quote(name, safe='')}"

    def _checked(self, href: str, asked: str = "") -> str:
        return followed(self._site, self._base, href, asked=asked or str(self._base))


def _for_site(parameters: Json) -> Json:
    """Return parameters as the site itself wants them: with the backend that is meant of those behind it."""
    body = {name: value for name, value in parameters.items() if name != VIA}
    return body | {BACKENDS: parameters[VIA]} if VIA in parameters else body


def _links(item: Json) -> list[Json]:
    links = item.get("links")
    return [each for each in links if isinstance(each, dict)] if isinstance(links, list) else []


def _by_tier(tier: Any) -> OrderStatus:
    return "succeeded" if isinstance(tier, str) and tier.lower() == "online" else "ordered"


def _pause(text: str) -> float | None:
    return min(float(text), _LONGEST_PAUSE) if text.isascii() and text.isdigit() else None
