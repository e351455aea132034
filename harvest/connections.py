"""Open answers of sources: what can be read from, piece by piece, until it ends or breaks off."""

from collections.abc import AsyncIterator
from typing import Protocol

from edges.errors import EdgeError, SiteUnavailable
from edges.lines.answers import PIECE, Answer
from edges.lines.sockets import Buffer
from harvest.errors import SourceFailed
from harvest.http_answers import Opened


class Connection(Protocol):
    """One open answer of a source."""

    opened: Opened

    async def read(self, limit: int) -> Buffer:
        """Return at most ``limit`` bytes, none at the end; raise SourceFailed where it breaks off.

        What is returned holds until the next reading, and no longer.
        """
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class HttpConnection:
    """The body of one HTTP answer. Pieces are handed on as they came, not joined and cut again."""

    def __init__(self, answer: Answer, opened: Opened) -> None:
        self._answer = answer
        self.opened = opened

    async def read(self, limit: int) -> Buffer:
        """Return at most ``limit`` bytes, none at the end."""
        try:
            return await self._answer.read(min(limit, PIECE))
        except OSError as error:
            reason = "stalled" if isinstance(error, TimeoutError) else f"broke off: {type(error).__name__}"
            raise SourceFailed(f"the connection {reason}", again=True) from error

    async def close(self) -> None:
        """Close the connection, or keep it where the body was read to its end."""
        self._answer.close()


class StoreConnection:
    """The bytes of one object of a store."""

    def __init__(self, pieces: AsyncIterator[Buffer], opened: Opened) -> None:
        self._pieces = pieces
        self._left: Buffer = b""
        self.opened = opened

    async def read(self, limit: int) -> Buffer:
        """Return at most ``limit`` bytes, none at the end."""
        if not self._left:
            try:
                self._left = await anext(self._pieces, b"")
            except EdgeError as error:
                raise SourceFailed(str(error), again=isinstance(error, SiteUnavailable)) from error
        piece, self._left = self._left[:limit], self._left[limit:]
        return piece

    async def close(self) -> None:
        """End the stream."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()
