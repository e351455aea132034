"""``/data/{site}/{collection}/{item}/{asset}``: downloads, whole or by range, streamed or by a signed address."""

import logging
from contextlib import AsyncExitStack
from typing import NamedTuple

from aiohttp import hdrs, web

from edges.downloads.answers import AccessLost, Opened
from edges.downloads.opening import Arriving, Asked
from edges.downloads.ranges import ByteRange, RangeNotSatisfiable, range_of
from edges.errors import EdgeError, NotFound, SiteMisbehaved
from gateway.data.conditions import Conditions, conditions_of, range_holds, verdict
from gateway.data.disposition import attachment, name_of
from gateway.data.finding import Asset
from gateway.data.hrefs import DataPlace, data_place
from gateway.data.limits import InFlight, TooManyOfSite, TooManyOfUser
from gateway.data.means import Means
from gateway.data.metrics import End
from gateway.data.sending import send
from gateway.data.sites import DataSite, DataSites
from gateway.principal import Principal, principal_of, user_of
from gateway.problems import problem
from gateway.settings import DataSettings
from quotas.errors import QuotaExceeded

_log = logging.getLogger(__name__)

_PATTERN = "/data/{site:[^/]+}/{collection:[^/]+}/{item:[^/]+}/{asset:[^/]+}"
_KEPT = "private, no-cache, no-transform"
"""A client may keep it and asks each time whether it changed; nobody on the way compresses it (RFC 9111 5.2.2)."""
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "sandbox; default-src 'none'",  # a page or picture of a stranger runs nothing here
}


class _Asking(NamedTuple):
    """One request for one asset."""

    principal: Principal
    place: DataPlace
    site: DataSite
    asset: Asset
    bytes: ByteRange | None
    conditions: Conditions

    def asked(self, *, whole: bool = False) -> Asked:
        """Return what the site is asked for."""
        return Asked(
            href=self.asset.href,
            bytes=None if whole else self.bytes,
            conditions=self.conditions.for_site,
            announced=self.asset.size,
        )

    def disposition(self, told: str = "") -> str:
        """Return the ``Content-Disposition``; ``told`` is the name that the site says."""
        place, asset = self.place, self.asset
        name = name_of(told=told, href=asset.href, item=place.item, asset=place.asset, media_type=asset.media_type)
        return attachment(name)


class DownloadFace:
    """Serves downloads of all sites."""

    def __init__(self, *, means: Means, sites: DataSites, in_flight: InFlight, settings: DataSettings) -> None:
        self._finder = means.finder
        self._egress = means.egress
        self._grants = means.grants
        self._metrics = means.metrics
        self._sites = sites
        self._in_flight = in_flight
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.get(_PATTERN, self.download)]  # and HEAD

    async def download(self, request: web.Request) -> web.StreamResponse:
        """``GET`` and ``HEAD /data/{site}/{collection}/{item}/{asset}`` (RFC 9110)."""
        principal = principal_of(request) if self._settings.anonymous else user_of(request)
        place = data_place(request.rel_url.raw_path)
        try:
            return await self._answer(request, principal, place)
        except RangeNotSatisfiable as error:
            self._metrics.ended(place.site, "missing")
            return _not_satisfiable(error)
        except Exception as error:  # counted as what it is, and raised again
            self._metrics.ended(place.site, _end_of(error))
            raise

    async def _answer(self, request: web.Request, principal: Principal, place: DataPlace) -> web.StreamResponse:
        await self._egress.request(principal)
        self._sites.at(place)
        asset = await self._finder.find(principal, place)
        site = self._sites.holding(place, asset)
        headers = request.headers
        asking = _Asking(
            principal=principal,
            place=place,
            site=site,
            asset=asset,
            bytes=range_of(headers.get(hdrs.RANGE, "")) if request.method == hdrs.METH_GET else None,
            conditions=conditions_of(headers),
        )
        address = site.elsewhere(request.method, asking.asset, disposition=asking.disposition)
        if address is not None:
            return await self._redirected(request, asking, address)
        with self._in_flight.place(site=site.id, user=principal.user):
            return await self._given(request, asking)

    async def _redirected(self, request: web.Request, asking: _Asking, address: str) -> web.Response:
        site, assets = asking.site, [asking.asset] if request.method == hdrs.METH_GET else []
        async with self._grants.granting(asking.principal, site.id, assets, seconds=site.settings.signed_seconds):
            pass
        self._metrics.ended(asking.site.id, "redirected")
        headers = {"Location": address, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return web.Response(status=307, headers=headers)

    async def _given(self, request: web.Request, asking: _Asking) -> web.StreamResponse:
        """Give the bytes; where the address does not work any more, look the item up again, once."""
        try:
            return await self._given_from(request, asking)
        except (AccessLost, NotFound):
            if not self._finder.forget(asking.principal, asking.place):
                raise
            asset = await self._finder.find(asking.principal, asking.place)
            if asset.href == asking.asset.href:
                raise
        site = self._sites.holding(asking.place, asset)
        return await self._given_from(request, asking._replace(asset=asset, site=site))

    async def _given_from(self, request: web.Request, asking: _Asking) -> web.StreamResponse:
        if request.method == hdrs.METH_HEAD:
            opened = await asking.site.data.look(asking.asked())
            return self._without_bytes(asking, opened) or await self._head(request, asking, opened)
        async with AsyncExitStack() as stack:
            arriving = await _arriving(stack, asking)
            answer = self._without_bytes(asking, arriving.opened)
            return answer if answer is not None else await self._streamed(request, asking, arriving)

    def _without_bytes(self, asking: _Asking, opened: Opened) -> web.Response | None:
        """Answer 304 or 412 where the client's conditions say so."""
        if opened.unchanged and not asking.conditions.for_site:
            raise SiteMisbehaved(asking.site.id, "its data is said to be unchanged, though nobody asked", code="status")
        said = verdict(asking.conditions, opened)
        if said == "go":
            return None
        self._metrics.ended(asking.site.id, "unchanged")
        if said == "failed":
            return problem(412, "Precondition failed", "the data is not the version that the request names")
        return web.Response(status=304, headers=_validators(opened))

    async def _head(self, request: web.Request, asking: _Asking, opened: Opened) -> web.StreamResponse:
        response = _response(asking, opened)
        await response.prepare(request)
        self._metrics.ended(asking.site.id, "sent")
        return response

    async def _streamed(self, request: web.Request, asking: _Asking, arriving: Arriving) -> web.StreamResponse:
        opened, site = arriving.opened, asking.site.id
        async with self._egress.metered(asking.principal, site, opened.length) as meter:
            response = _response(asking, opened)
            end: End = "left"
            try:
                await response.prepare(request)
                end = await send(
                    request,
                    response,
                    arriving.pieces,
                    meter=meter,
                    stall_seconds=self._settings.stall_seconds,
                    least_rate=self._settings.least_rate,
                )
            except ConnectionError:  # the client went away before its answer began
                pass
            finally:
                self._metrics.ended(site, end, meter.sent)
            if end in ("stalled", "broken"):
                _log.info("a download did not end", extra={"site": site, "end": end, "sent": meter.sent})
            return response


async def _arriving(stack: AsyncExitStack, asking: _Asking) -> Arriving:
    """Open the range that is asked for; or the whole, where ``If-Range`` names another version."""
    data, if_range = asking.site.data, asking.conditions.if_range
    try:
        arriving = await stack.enter_async_context(data.open(asking.asked()))
    except RangeNotSatisfiable:
        if not if_range:
            raise
        arriving = await stack.enter_async_context(data.open(asking.asked(whole=True)))
        if range_holds(if_range, arriving.opened):
            raise
        return arriving
    opened = arriving.opened
    if not opened.partial or opened.unchanged or range_holds(if_range, opened):
        return arriving
    await stack.aclose()
    return await stack.enter_async_context(data.open(asking.asked(whole=True)))


def _response(asking: _Asking, opened: Opened) -> web.StreamResponse:
    response = web.StreamResponse(status=206 if opened.partial else 200)
    headers = response.headers
    headers.update(_SAFE)
    headers.update(_validators(opened))
    headers[hdrs.CONTENT_TYPE] = asking.asset.media_type or opened.content_type or "application/octet-stream"
    headers[hdrs.CONTENT_DISPOSITION] = asking.disposition(opened.filename)
    headers[hdrs.ACCEPT_RANGES] = "bytes"
    if opened.encoding:
        headers[hdrs.CONTENT_ENCODING] = opened.encoding
    if opened.partial and opened.length is not None:
        total = "*" if opened.total is None else opened.total
        headers[hdrs.CONTENT_RANGE] = f"bytes {opened.first}-{opened.first + opened.length - 1}/{total}"
    if opened.length is not None:
        response.content_length = opened.length
    return response


def _validators(opened: Opened) -> dict[str, str]:
    told = {hdrs.ETAG: opened.etag, hdrs.LAST_MODIFIED: opened.last_modified}
    return {str(name): value for name, value in told.items() if value} | {"Cache-Control": _KEPT}


def _not_satisfiable(error: RangeNotSatisfiable) -> web.Response:
    response = problem(error.status, error.title, str(error))
    if error.total is not None:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{error.total}"
    return response


_ENDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], End], ...] = (
    (QuotaExceeded, "quota"),
    ((TooManyOfUser, TooManyOfSite), "limited"),
    (NotFound, "missing"),
    (EdgeError, "failed"),
)


def _end_of(error: Exception) -> End:
    if getattr(error, "status", None) == 403 and not isinstance(error, EdgeError):
        return "refused"
    return next((end for kinds, end in _ENDS if isinstance(error, kinds)), "failed")
