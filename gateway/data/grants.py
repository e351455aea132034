"""Bytes that are read beside the gateway: nobody here sees them go, so what was granted is what counts.

An address, or a pair of keys, opens an asset as often as one likes while it lives: the asset is charged whole, and once
for that time. Who asks for it again meanwhile, say for the next range, is not charged again.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from edges.downloads.opening import Asked, SiteData
from edges.downloads.ranges import RangeNotSatisfiable
from edges.errors import EdgeError
from gateway.data.egress import Egress
from gateway.data.finding import Asset
from gateway.principal import Principal

_log = logging.getLogger(__name__)

_AT_ONCE = 16
_MOST = 20_000
"""So many grants are remembered; beyond it the oldest are charged again."""


class Grants:
    """Charges what is granted at sites. ``counted`` are those whose grants count, each with its data."""

    def __init__(
        self, *, egress: Egress, counted: Mapping[str, SiteData], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._egress = egress
        self._counted = counted
        self._clock = clock
        self._known: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()

    @asynccontextmanager
    async def granting(
        self, principal: Principal, site: str, assets: Sequence[Asset], *, seconds: float
    ) -> AsyncIterator[None]:
        """Reserve the bytes of assets that are granted for so long within the context; leaving it charges them.

        Where it is left by an error nothing is charged. A site whose grants do not count only refuses who has not as
        many bytes left. Sizes that an item does not tell are asked of its site.

        Raises:
            QuotaExceeded: they do not fit.
        """
        if site not in self._counted:
            await self._egress.check(principal, site, max(1, sum(asset.size or 0 for asset in assets)))
            yield
            return
        now = self._clock()
        places = {_place(principal, site, asset): asset for asset in assets}
        new = {place: asset for place, asset in places.items() if self._known.get(place, 0.0) <= now}
        self._remember(new, now + seconds)  # at once: programs ask for several ranges side by side
        try:
            length = await self._length(principal, site, new.values())
            async with self._egress.metered(principal, site, length) as meter:
                yield
                meter.sent = length
        except BaseException:  # also where the request is given up: what was not granted is not known
            for place in new:
                self._known.pop(place, None)
            raise

    async def _length(self, principal: Principal, site: str, assets: Iterable[Asset]) -> int:
        told = [asset.size for asset in assets if asset.size is not None]
        unknown = [asset for asset in assets if asset.size is None]
        if not unknown or not self._egress.binds(principal, site):
            return sum(told)
        places = asyncio.Semaphore(_AT_ONCE)

        async def size(asset: Asset) -> int:
            async with places:
                return await self._size(site, asset)

        return sum(told) + sum(await asyncio.gather(*map(size, unknown)))

    async def _size(self, site: str, asset: Asset) -> int:
        """Ask a site how long an asset is; what it does not tell cannot be counted."""
        try:
            opened = await self._counted[site].look(Asked(href=asset.href))
        except (EdgeError, RangeNotSatisfiable) as error:
            _log.info("the size of what is granted is not known", extra={"site": site, "error": str(error)[:200]})
            return 0
        return opened.length or 0

    def _remember(self, places: Iterable[tuple[str, str, str, str]], until: float) -> None:
        for place in places:
            self._known[place] = until
            self._known.move_to_end(place)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)


def _place(principal: Principal, site: str, asset: Asset) -> tuple[str, str, str, str]:
    return principal.user, principal.charging_group, site, asset.href
