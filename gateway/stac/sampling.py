"""What items really have: a few of a collection are looked at, since sites seldom summarise all of their properties."""

import asyncio
import logging
import time
from collections.abc import Callable

from edges.errors import EdgeError
from edges.model import Json, Query
from gateway.search.federation import Federation
from gateway.stac.schemas import observed
from gateway.stac.scope import Scope

_log = logging.getLogger(__name__)

_SAMPLE = 20
"""Items looked at."""
_KEPT = 1_000
"""Samples remembered."""


class Sampling:
    """The properties of items, by scope and collection; looked at anew after ``fresh_seconds``.

    A sample may take ``patience_seconds``: past them there is none, and the next request tries again.
    """

    def __init__(
        self,
        *,
        federation: Federation,
        fresh_seconds: float = 600.0,
        patience_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._federation = federation
        self._fresh = fresh_seconds
        self._patience = patience_seconds
        self._clock = clock
        self._samples: dict[tuple[str | None, str, str | None], _Sample] = {}

    async def properties(self, scope: Scope, collection: str | None) -> Json:
        """Return a schema for each property that was seen, of one collection or of all; empty where none could be."""
        key = (scope.site, "" if scope.sight is None else scope.sight.mark, collection)
        sample = self._samples.get(key)
        if sample is None:
            while len(self._samples) >= _KEPT:
                self._samples.pop(next(iter(self._samples)))
            sample = self._samples[key] = _Sample()
        async with sample.lock:  # of many who ask at once, one looks
            if self._clock() >= sample.until:
                await self._look(sample, scope, collection)
        return sample.properties

    async def _look(self, sample: "_Sample", scope: Scope, collection: str | None) -> None:
        query = Query(collections=None if collection is None else (collection,), sites=scope.sites, limit=_SAMPLE)
        try:
            async with asyncio.timeout(self._patience):
                page = await self._federation.search(query, user="", sight=scope.sight)
        except (TimeoutError, EdgeError) as error:
            _log.info("no sample of items", extra={"collection": collection, "reason": str(error)[:300]})
            return
        sample.properties = observed((row.site, row.item) for group in page.groups for row in group)
        sample.until = self._clock() + self._fresh


class _Sample:
    """What was seen, and until when it counts."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.properties: Json = {}
        self.until = float("-inf")
