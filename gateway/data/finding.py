"""Where the bytes of an asset are: one look at the site's catalogue for each item, kept for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

import msgspec

from edges.errors import NotFound
from edges.model import Frozen, Json, Members
from edges.single_flight import SingleFlight
from edges.stac.hrefs import is_unsafe
from edges.stac.links import url_of
from gateway.data.access import Access
from gateway.data.hrefs import DataPlace
from gateway.principal import Principal
from gateway.search.federation import Federation
from gateway.search.sight import Sight

_OBJECT = msgspec.json.Decoder(Json)
_LINKS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NEW_SECONDS = 5.0
_KINDS = ("application/", "image/", "text/", "audio/", "video/", "model/", "multipart/", "message/")


class Asset(Frozen):
    """One asset as the item tells of it: its absolute address, what it is, and how long, where that is told."""

    href: str
    media_type: str = ""
    size: int | None = None

    def __repr__(self) -> str:
        return "Asset(...)"  # its address may be signed


class Keep(NamedTuple):
    """How many items are kept, and for how many seconds by a clock that does not step."""

    items: int
    seconds: float
    clock: Callable[[], float] = time.monotonic


class _Kept(NamedTuple):
    item: Members
    assets: Json
    base: str
    at: float


class OtherItems(Protocol):
    """Items that no search finds: what was staged on order, under the order's name."""

    async def item(self, principal: Principal, *, site: str, collection: str, item: str) -> Members | None:
        """Return an item that the principal may have, or None. It is asked each time, and cheap to ask."""
        ...


class Finder:
    """Finds assets by their names at one site. ``bases`` are where relative addresses of each site's items begin.

    ``others`` are asked before the catalogue. At most so many items as ``keep`` says are kept, apart for each view
    (:class:`gateway.data.access.Access`).
    """

    def __init__(
        self,
        *,
        federation: Federation,
        access: Access,
        bases: Mapping[str, str],
        others: Sequence[OtherItems] = (),
        keep: Keep,
    ) -> None:
        self._federation = federation
        self._access = access
        self._bases = bases
        self._others = others
        self._most = keep.items
        self._seconds = keep.seconds
        self._clock = keep.clock
        self._kept: OrderedDict[tuple[str, str, str, str], _Kept] = OrderedDict()
        self._asking: SingleFlight[tuple[str, str, str, str], _Kept] = SingleFlight()

    async def assets(self, principal: Principal, *, site: str, collection: str, item: str) -> dict[str, Asset]:
        """Return all assets of an item that have an address, by key.

        Raises:
            NotFound: the site does not have the item, or the principal may not see it.
            DataRefused: the principal may not have its data (:class:`gateway.search.access.DataRefused`).
            AllSitesFailed: the site does not answer.
        """
        kept = await self._item(principal, site=site, collection=collection, item=item)
        told = ((key, _asset(each, kept.base)) for key, each in kept.assets.items())
        return {key: asset for key, asset in told if asset is not None}

    async def find(self, principal: Principal, place: DataPlace) -> Asset:
        """Return one asset; see :meth:`assets` for what is raised.

        Raises:
            NotFound: also where the item has no such asset.
        """
        kept = await self._item(principal, site=place.site, collection=place.collection, item=place.item)
        found = _asset(kept.assets.get(place.asset), kept.base)
        if found is None:
            known = ", ".join(sorted(kept.assets))[:300]
            raise NotFound(f"the item has no asset {place.asset[:80]!r} to download; it has: {known or 'none'}")
        return found

    def forget(self, principal: Principal, place: DataPlace) -> bool:
        """Look an item up again next time: its addresses do not work. Tell whether that may help.

        What was looked up a moment ago is kept: what is not there is asked for again and again by some programs.
        """
        key = (self._access.view(principal), place.site, place.collection, place.item)
        kept = self._kept.get(key)
        if kept is None or kept.at + _NEW_SECONDS > self._clock():
            return False
        del self._kept[key]
        return True

    async def _item(self, principal: Principal, *, site: str, collection: str, item: str) -> _Kept:
        if site not in self._bases:
            raise NotFound(f"no site {site[:80]!r} here")
        for other in self._others:
            found = await other.item(principal, site=site, collection=collection, item=item)
            if found is not None:
                await self._access.check(principal, site=site, collection=collection, item=found)
                return self._readable(found, site, collection, item)
        key = (self._access.view(principal), site, collection, item)
        kept = self._kept.get(key)
        if kept is None or kept.at + self._seconds <= self._clock():
            sight = self._federation.sight(principal)
            kept = await self._asking.run(key, lambda: self._looked_up(key, sight))
        else:
            self._kept.move_to_end(key)
        await self._access.check(principal, site=site, collection=collection, item=kept.item)
        return kept

    async def _looked_up(self, key: tuple[str, str, str, str], sight: Sight) -> _Kept:
        _, site, collection, item_id = key
        group = await self._federation.item(collection, item_id, sites=(site,), sight=sight)
        if not group:
            raise NotFound(f"{site} has no item {item_id[:200]!r} in collection {collection[:80]!r}")
        kept = self._readable(group[0].item, site, collection, item_id)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept

    def _readable(self, item: Members, site: str, collection: str, item_id: str) -> _Kept:
        base = _self_of(item) or url_of(self._bases[site], "collections", collection, "items", item_id)
        return _Kept(item=item, assets=_assets(item), base=base, at=self._clock())


def _assets(item: Members) -> Json:
    try:
        return _OBJECT.decode(item.get("assets", b"{}"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _self_of(item: Members) -> str:
    """Return where the item says that it is, which relative addresses begin at (STAC best practices)."""
    try:
        for link in _LINKS.decode(item.get("links", b"[]")):
            href = msgspec.json.decode(link.get("href", b'""'))
            if msgspec.json.decode(link.get("rel", b'""')) == "self" and isinstance(href, str):
                return href if urlsplit(href).scheme in ("http", "https", "s3") else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    return ""


def _asset(told: object, base: str) -> Asset | None:
    if not isinstance(told, dict) or not isinstance(told.get("href"), str) or not told["href"]:
        return None
    href = _absolute(base, told["href"])
    if is_unsafe(href):
        return None
    kind, size = told.get("type"), told.get("file:size")
    return Asset(
        href=href,
        media_type=kind if isinstance(kind, str) and kind.startswith(_KINDS) and kind.isprintable() else "",
        size=size if isinstance(size, int) and 0 <= size < 1 << 60 else None,
    )


def _absolute(base: str, href: str) -> str:
    try:
        if urlsplit(href).scheme:
            return href
        if base.startswith("s3://"):  # which no library joins
            return "s3" + urljoin(base.replace("s3://", "http://", 1), href).removeprefix("http")
        return urljoin(base, href)
    except ValueError:
        return href
