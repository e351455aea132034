"""One site as downloads see it: its settings, how its bytes are opened, and which addresses can be given away."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import aiohttp

from edges.downloads.opening import SiteData
from edges.downloads.s3_way import S3Way
from edges.errors import DestinationRefused, NotFound
from edges.settings import DownloadSettings
from gateway.data.finding import Asset
from gateway.data.hrefs import DataPlace


class KeyedData(Protocol):
    """Users' data that keys of ours open."""

    def tree_of(self, collection: str, href: str) -> str | None:
        """Return the tree whose keys open an address of a collection's items; None where none do."""
        ...


class DataNotGiven(Exception):
    """The site's data is not given out by this gateway, or not in this way, or not to this user."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "The data is not given out"


@dataclass(frozen=True, kw_only=True)
class DataSite:
    """``session`` is what its data is read over; ``s3`` signs for the site's own store.

    ``is_open`` tells whether an address is asked without credentials; ``check_public`` raises
    :class:`edges.errors.DestinationRefused` for one that is not for everybody.
    """

    id: str
    settings: DownloadSettings
    data: SiteData
    session: aiohttp.ClientSession
    s3: S3Way | None
    is_open: Callable[[str], bool]
    check_public: Callable[[str], None]

    def elsewhere(self, method: str, asset: Asset, *, disposition: Callable[[], str]) -> str | None:
        """Return the address that a client is sent to in place of the bytes; None where they are streamed."""
        if self.settings.give != "redirect":
            return None
        if self.s3 is not None and self.s3.takes(asset.href):
            seconds = self.settings.signed_seconds
            return self.s3.signed(method, asset.href, seconds=seconds, disposition=disposition())
        if not self.is_open(asset.href):
            return None
        try:
            self.check_public(asset.href)
        except DestinationRefused:
            return None
        return asset.href


class DataSites:
    """All sites. ``trees`` are those behind users' collections (of ``home``) whose data ``keyed`` gives, by name."""

    def __init__(
        self,
        sites: Mapping[str, DataSite],
        *,
        home: str = "",
        keyed: KeyedData | None = None,
        trees: Mapping[str, DataSite] | None = None,
    ) -> None:
        self._sites = sites
        self._home = home
        self._keyed = keyed
        self._trees = trees or {}

    def at(self, place: DataPlace) -> DataSite:
        """Return the site of a place.

        Raises:
            NotFound: there is none.
            DataNotGiven: it gives no data.
        """
        site = self._sites.get(place.site)
        if site is None:
            raise NotFound(f"no site {place.site[:80]!r} here")
        if site.settings.give == "refuse":
            raise DataNotGiven(f"{site.id}: its data is not given out by this gateway")
        return site

    def holding(self, place: DataPlace, asset: Asset) -> DataSite:
        """Return the site that holds an asset that was found at a place; see :meth:`at` for what is raised."""
        site = self.at(place)
        if self._keyed is None or place.site != self._home:
            return site
        tree = self._keyed.tree_of(place.collection, asset.href)
        return site if tree is None else self._trees.get(tree, site)
