"""Large bodies go out piece by piece, so that nothing is copied to stand behind its head, or to wait for the socket."""

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

_FIRST = 64 * 1024
"""Bytes that go with the head, which are copied for it; an answer with fewer is sent at once."""
_PIECE = 256 * 1024
"""Bytes that are given to the socket at once: what it does not take of them is copied."""


class LargeAnswer(web.Response):
    """An answer whose body is there whole, and may be large; one that is small or compressed is sent at once."""

    _pieces = False

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head, and choose how the body goes."""
        body = self.body
        self._pieces = (
            isinstance(body, bytes | bytearray)
            and len(body) > _FIRST
            and request.method != hdrs.METH_HEAD
            and not self.compression
            and hdrs.CONTENT_ENCODING not in self.headers
        )
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body."""
        body = self.body
        if not self._pieces or not isinstance(body, bytes | bytearray):
            await super().write_eof(data)
            return
        self._pieces = False
        view = memoryview(body)
        await self.write(view[:_FIRST])
        for start in range(_FIRST, len(view), _PIECE):
            await self.write(view[start : start + _PIECE])
        await super(web.Response, self).write_eof()
