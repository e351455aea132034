"""Bytes on their way from a source to a store: counted, hashed, and their end withheld until it may be seen."""

from collections.abc import AsyncIterator, Awaitable, Callable

from edges.lines.sockets import Buffer
from harvest.digest import Digest
from harvest.errors import WrongBytes
from harvest.reading import Reading


async def nothing() -> None:
    """Permit the end at once."""


class Feed:
    """The next ``size`` bytes of a reading, as a body to send once.

    ``permit`` is awaited before the last piece is given away (and at once where ``size`` is 0): what it raises leaves
    the request without its end, so that nothing becomes visible. A request hides why its body broke off;
    ``failure`` remembers it.
    """

    def __init__(
        self, reading: Reading, size: int, digest: Digest, *, permit: Callable[[], Awaitable[None]] = nothing
    ) -> None:
        self._reading = reading
        self._size = size
        self._digest = digest
        self._permit = permit
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        try:
            left = self._size
            if not left:
                await self._permit()
            while left:
                piece = await self._next(left)
                self._digest.update(piece)
                left -= len(piece)
                if not left:
                    await self._permit()
                yield piece
        except Exception as error:  # the client that sends this hides what broke it: it is remembered, and raised again
            self.failure = error
            raise

    async def _next(self, left: int) -> Buffer:
        piece = await self._reading.read(left)
        if not piece:
            raise WrongBytes(f"the source ended {left} bytes early")
        return piece
