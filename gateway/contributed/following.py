"""Keeps the registry's collections up with the book: what another gateway has made is known here soon after."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edges.errors import EdgeError
from gateway.background import beside
from gateway.contributed.ground import Ground

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the book is looked at: a number is compared, unless something changed."""


class Following:
    """Asks the site of users' collections for them anew where the book tells of others than before."""

    def __init__(self, *, ground: Ground, look_seconds: float = LOOK_SECONDS) -> None:
        self._ground = ground
        self._seconds = look_seconds
        self._writes = -1
        self._known: dict[str, int] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow while the context lasts."""
        async with beside(self._follow(), name="follow users' collections"):
            yield

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            writes = self._ground.book.writes
            if writes != self._writes and await self._looked():
                self._writes = writes

    async def _looked(self) -> bool:
        """Tell whether the registry is up to date now; where the site does not answer, it is asked again."""
        told = {record.id: record.revision for record in self._ground.book.shared()}
        if told == self._known:
            return True
        try:
            await self._ground.told_anew()
        except EdgeError as error:
            _log.info("users' collections not learnt", extra={"reason": str(error)[:300]})
            return False
        self._known = told
        return True
