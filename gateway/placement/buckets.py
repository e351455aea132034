"""What is below a bucket prefix at the sites, by listing it: bounded in objects and in time."""

import asyncio
import logging
from collections.abc import Sequence

from edges.errors import EdgeError
from edges.model import Frozen
from edges.seams import ObjectStore
from gateway.placement.seam import Listed

_log = logging.getLogger(__name__)

MOST_OBJECTS = 10_000
LIST_SECONDS = 10.0
"""A store that takes longer counts for what it has told until then."""


class SiteBucket(Frozen):
    """The one bucket of a site that may be looked into."""

    site: str
    bucket: str
    store: ObjectStore


class SiteBuckets:
    """The buckets of all sites. Implements :class:`gateway.placement.seam.Buckets`; ``add`` as they are opened."""

    def __init__(self) -> None:
        self._buckets: list[SiteBucket] = []

    def add(self, bucket: SiteBucket) -> None:
        """Let a site's bucket be looked into."""
        self._buckets.append(bucket)

    async def listed(self, bucket: str, prefix: str) -> Sequence[Listed]:
        """Count what is below a prefix at each site that has the bucket; a store that fails is left out."""
        asked = [each for each in self._buckets if each.bucket == bucket]
        found = await asyncio.gather(*(_count(each, prefix) for each in asked))
        return [listed for listed in found if listed is not None and listed.objects]


async def _count(place: SiteBucket, prefix: str) -> Listed | None:
    objects = size = 0
    cut = True
    try:
        async with asyncio.timeout(LIST_SECONDS):
            async for one in place.store.list_objects(prefix):
                if objects == MOST_OBJECTS:
                    break
                objects += 1
                size += max(0, one.size)
            else:
                cut = False
    except TimeoutError:
        _log.warning("a bucket's listing was cut short", extra={"site": place.site})
    except EdgeError as error:
        _log.warning("a bucket cannot be listed", extra={"site": place.site, "reason": str(error)[:300]})
        return None
    return Listed(site=place.site, objects=objects, bytes=size, cut=cut)
