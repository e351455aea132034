"""One site as downloads see it: its settings, how its bytes are opened, and which addresses can be given away."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import aiohttp

from edges.downloads.opening import SiteData
from edges.downloads.s3_way import S3Way
from edges.errors import DestinationRefused
from edges.settings import DownloadSettings
from gateway.data.finding import Asset


class DataRefused(Exception):
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
