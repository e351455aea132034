"""What the edges offer right now: their option fields, asked for at once and kept for a few seconds."""

import asyncio
import logging
import time
from collections.abc import Mapping

from edges.errors import EdgeError
from edges.model import EdgeUser, Json
from edges.seams import DaskBackend

_log = logging.getLogger(__name__)

KEEP_SECONDS = 10.0
"""Clients ask for the options right before they create: the second question is spared."""
ANSWER_SECONDS = 5.0
"""An edge that takes longer is left out of the merged options; it costs the others nothing."""
MAX_KEPT = 1000


class Offers:
    """The option fields per edge and user."""

    def __init__(self, *, backends: Mapping[str, DaskBackend]) -> None:
        self._backends = backends
        self._kept: dict[tuple[str, EdgeUser], tuple[float, list[Json]]] = {}

    async def of_all(self, user: EdgeUser) -> dict[str, list[Json]]:
        """Return the fields of the edges that answer, in the order of the configuration."""
        found = await asyncio.gather(*(self._try(edge, user) for edge in self._backends))
        return {edge: fields for edge, fields in zip(self._backends, found, strict=True) if fields is not None}

    async def of_edge(self, edge: str, user: EdgeUser) -> list[Json]:
        """Return the fields of one edge.

        Raises:
            edges.errors.EdgeError: it does not answer, or answers wrongly.
        """
        kept = self._kept.get((edge, user))
        if kept is not None and time.monotonic() - kept[0] < KEEP_SECONDS:
            return kept[1]
        fields = await self._backends[edge].options(user)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[edge, user] = (time.monotonic(), fields)
        return fields

    async def _try(self, edge: str, user: EdgeUser) -> list[Json] | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self.of_edge(edge, user)
        except (EdgeError, TimeoutError) as error:
            _log.warning("an edge's cluster options are missing", extra={"edge": edge, "reason": str(error)})
            return None
