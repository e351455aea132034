"""``POST /access``: signed URLs, or short-lived keys, so that a program reads beside the gateway."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import ClassVar, Protocol

import msgspec
from aiohttp import web

from edges.downloads.s3_way import S3Way
from edges.downloads.sts import SecurityTokens
from edges.errors import EdgeError, InvalidInput, NotFound
from edges.model import Json
from edges.settings import DirectSettings
from gateway.bodies import read_object
from gateway.data.direct import AccessRequest, AskedItem, Wanted, access_request, objects_of, place_of, told_keys
from gateway.data.disposition import attachment, name_of
from gateway.data.finding import Asset
from gateway.data.means import Means
from gateway.principal import Principal, user_of
from gateway.search.access import DataRefused

_log = logging.getLogger(__name__)

_AT_ONCE = 16
_SHORTEST_KEYS = 900
_RIGHT = '{"items": [{"collection": ..., "item": ...}]}'


class NothingGiven(Exception):
    """Nothing of what was asked for can be had beside the gateway; ``members`` tell why, one by one."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "No access beside the gateway"

    def __init__(self, refused: Sequence[Json]) -> None:
        super().__init__("nothing of what was asked for can be had beside the gateway")
        self.members = {"refused": list(refused)}


class ItemsOf(Protocol):
    """Lists a collection at one site."""

    async def __call__(self, principal: Principal, *, site: str, collection: str, limit: int) -> tuple[list[str], bool]:
        """Return the ids of at most so many items, and whether there are more."""
        ...


@dataclass(frozen=True, kw_only=True)
class DirectSite:
    """A site that gives direct access; ``tokens`` make keys, where it has a service for that."""

    id: str
    settings: DirectSettings
    s3: S3Way
    endpoint: str
    region: str
    tokens: SecurityTokens | None

    def admits(self, principal: Principal) -> bool:
        """Tell whether a user is in one of the groups that may have it."""
        allowed = self.settings.groups
        return not allowed or any(
            own == group or own.startswith(f"{group}/") for own in principal.groups for group in allowed
        )


class _Found:
    """What of a request was found, and what not; ``sizes`` are the announced bytes by site."""

    def __init__(self) -> None:
        self.wanted: list[tuple[Wanted, Asset]] = []
        self.refused: list[Json] = []
        self.truncated = False

    def refuse(self, asked: AskedItem, reason: str, **more: str) -> None:
        """Note that a part is not given."""
        named = {"site": asked.site, "collection": asked.collection, "item": asked.item} | more
        self.refused.append({name: value for name, value in named.items() if value is not None} | {"reason": reason})


class DirectFace:
    """Serves direct access. ``most`` is how many assets one answer is about; ``clock`` gives epoch seconds."""

    def __init__(self, *, means: Means, sites: Mapping[str, DirectSite], items_of: ItemsOf, most: int) -> None:
        self._finder = means.finder
        self._egress = means.egress
        self._grants = means.grants
        self._metrics = means.metrics
        self._sites = sites
        self._items_of = items_of
        self._most = most
        self._clock: Callable[[], float] = time.time

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this face."""
        return [web.post("/access", self.access)]

    async def access(self, request: web.Request) -> web.Response:
        """``POST /access``."""
        principal = user_of(request)
        asked = access_request(await read_object(request, right=_RIGHT))
        await self._egress.request(principal)
        found = await self._found(principal, asked)
        if asked.give == "keys":
            self._leave_out_keyless(found)
        if not found.wanted:
            raise NothingGiven(found.refused)
        async with AsyncExitStack() as grants:
            for site, part in _by_site(found.wanted):
                seconds, assets = self._seconds(asked, site), [asset for _, asset in part]
                await grants.enter_async_context(self._grants.granting(principal, site, assets, seconds=seconds))
            answer = self._urls(asked, found) if asked.give == "urls" else await self._keys(principal, asked, found)
        _log.info(
            "direct access given",
            extra={"user": principal.user, "give": asked.give, "assets": len(found.wanted)},
        )
        answer |= {"refused": found.refused, "truncated": found.truncated}
        return web.Response(
            body=msgspec.json.encode(answer),
            content_type="application/json",
            headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
        )

    async def _found(self, principal: Principal, asked: AccessRequest) -> _Found:
        found = _Found()
        items = [each for one in asked.items for each in await self._expanded(principal, one, found)]
        for start in range(0, len(items), _AT_ONCE):
            await asyncio.gather(*(self._look(principal, each, found) for each in items[start : start + _AT_ONCE]))
            if len(found.wanted) > self._most:
                raise InvalidInput("items", f"they have more than {self._most} assets", "fewer, or `assets` named")
        found.wanted.sort(key=lambda pair: (pair[0].site, pair[0].collection, pair[0].item, pair[0].asset))
        return found

    async def _expanded(self, principal: Principal, asked: AskedItem, found: _Found) -> list[AskedItem]:
        """Return the items of a collection, where one is asked for as a whole."""
        if asked.item is not None:
            return [asked]
        items: list[AskedItem] = []
        for site in self._asked_sites(principal, asked, found):
            ids, more = await self._items_of(principal, site=site.id, collection=asked.collection, limit=self._most)
            items += [msgspec.structs.replace(asked, item=each, site=site.id) for each in ids]
            found.truncated = found.truncated or more
        if not items:
            found.refuse(asked, "no site that gives direct access has items of it")
        return items

    def _asked_sites(self, principal: Principal, asked: AskedItem, found: _Found) -> list[DirectSite]:
        if asked.site is None:
            return [site for site in self._sites.values() if site.admits(principal)]
        site = self._sites.get(asked.site)
        if site is None:
            found.refuse(asked, "the site gives no direct access")
            return []
        if not site.admits(principal):
            found.refuse(asked, "you are in none of the groups that may have direct access to this site")
            return []
        return [site]

    async def _look(self, principal: Principal, asked: AskedItem, found: _Found) -> None:
        item = asked.item or ""
        sites = self._asked_sites(principal, asked, found)
        reason = "no site that gives direct access to you has it"
        for site in sites:
            try:
                assets = await self._finder.assets(principal, site=site.id, collection=asked.collection, item=item)
            except NotFound:
                continue
            except (EdgeError, DataRefused) as error:
                reason = str(error)[:200]
                continue
            self._take(asked, site, assets, found)
            return
        if sites:
            found.refuse(asked, reason)

    def _take(self, asked: AskedItem, site: DirectSite, assets: Mapping[str, Asset], found: _Found) -> None:
        item = asked.item or ""
        for name in asked.assets if asked.assets is not None else assets:
            asset = assets.get(name)
            if asset is None:
                found.refuse(asked, "the item has no such asset", asset=name)
                continue
            try:
                place = site.s3.object(asset.href)
            except NotFound:
                found.refuse(asked, "the asset is not in the site's own store; download it", asset=name)
                continue
            found.wanted.append((place_of(asked, place, site=site.id, item=item, asset=name), asset))

    def _leave_out_keyless(self, found: _Found) -> None:
        """Refuse what is at sites that give no keys."""
        keyless = [site for site, _ in _by_site(found.wanted) if self._sites[site].tokens is None]
        found.refused += [{"site": site, "reason": "the site gives no keys; ask for `urls`"} for site in keyless]
        found.wanted = [pair for pair in found.wanted if pair[0].site not in keyless]

    def _seconds(self, asked: AccessRequest, site: str) -> int:
        """Return for how long a site gives what is asked for."""
        settings = self._sites[site].settings
        most = settings.url_seconds if asked.give == "urls" else settings.key_seconds
        seconds = min(asked.seconds or most, most)
        return seconds if asked.give == "urls" else max(_SHORTEST_KEYS, seconds)

    def _urls(self, asked: AccessRequest, found: _Found) -> Json:
        urls = []
        for site_id, part in _by_site(found.wanted):
            site = self._sites[site_id]
            seconds = self._seconds(asked, site_id)
            expires = datetime.fromtimestamp(int(self._clock()) + seconds, UTC).isoformat().replace("+00:00", "Z")
            for wanted, asset in part:
                name = name_of(
                    told="", href=asset.href, item=wanted.item, asset=wanted.asset, media_type=asset.media_type
                )
                href = site.s3.signed("GET", asset.href, seconds=seconds, disposition=attachment(name))
                named = {"collection": wanted.collection, "item": wanted.item, "asset": wanted.asset}
                urls.append({"site": site_id, **named, "href": href, "expires": expires})
            self._metrics.signed(site_id, len(part))
        return {"urls": urls}

    async def _keys(self, principal: Principal, asked: AccessRequest, found: _Found) -> Json:
        keys = []
        for site_id, part in _by_site(found.wanted):
            site = self._sites[site_id]
            if site.tokens is None:
                continue
            objects = objects_of(wanted for wanted, _ in part)
            given = await site.tokens.given(principal.user, objects, seconds=self._seconds(asked, site_id))
            keys.append(told_keys(site_id, given, endpoint=site.endpoint, region=site.region, objects=objects))
            self._metrics.keys(site_id)
        return {"keys": keys}


def _by_site(wanted: Iterable[tuple[Wanted, Asset]]) -> list[tuple[str, list[tuple[Wanted, Asset]]]]:
    return [(site, list(part)) for site, part in groupby(wanted, key=lambda pair: pair[0].site)]
