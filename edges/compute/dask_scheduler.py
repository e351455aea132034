"""One message to a Dask scheduler, without Dask: let each worker run a function.

Dask's own client unpickles what it reads, so that a scheduler could run anything here. What is read here is MessagePack
and nothing else. Wire: distributed 2026.8 (``distributed.comm.tcp``, ``distributed.protocol``), TLS by server name as
the Dask Gateway's proxy routes it.
"""

import asyncio
import os
import ssl
import struct
import tempfile
from collections.abc import Mapping
from typing import Any

import msgspec

from edges.errors import SiteMisbehaved, SiteUnavailable

CALL_SECONDS = 15.0
MAX_ANSWER = 4 << 20
PICKLE_PROTOCOL = 4


class SchedulerComm:
    """The way to the scheduler of one cluster: through the edge's proxy at ``address``, with the cluster's TLS pair."""

    def __init__(self, *, edge: str, address: tuple[str, int], cluster: str, certificate: str, key: str) -> None:
        self._edge = edge
        self._host, self._port = address
        self._name = f"daskgateway-{cluster}"
        self._certificate = certificate
        self._key = key

    async def run_on_workers(self, function: bytes, arguments: bytes) -> Mapping[str, bool]:
        """Let each worker run a pickled function with pickled arguments; tell of each that answered if it went well.

        Raises:
            SiteUnavailable: the scheduler cannot be reached, or does not answer in time.
            SiteMisbehaved: it answers something else.
        """
        message = {"op": "run", "function": function, "args": arguments, "kwargs": None, "wait": True}
        ask = {"op": "broadcast", "reply": True, "msg": message, "workers": None, "on_error": "ignore"}
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await self._asked(ask)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise SiteUnavailable(self._edge, f"the cluster's scheduler: {type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise SiteMisbehaved(self._edge, "the cluster's scheduler answered no list of workers")
        return {str(worker): isinstance(said, dict) and said.get("status") == "OK" for worker, said in answer.items()}

    async def _asked(self, ask: Mapping[str, Any]) -> Any:
        context = await asyncio.to_thread(_context, self._certificate, self._key)
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=context, server_hostname=self._name)
        try:
            handshake = {"compression": None, "python": (3, 11, 0), "pickle-protocol": PICKLE_PROTOCOL}
            writer.write(_packed(handshake))
            await self._read(reader)
            writer.write(_packed(ask))
            await writer.drain()
            return await self._read(reader)
        finally:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> Any:
        """Read one message; frames beside the first hold pickles, and stay unread."""
        size = struct.unpack("<Q", await reader.readexactly(8))[0]
        if not 16 <= size <= MAX_ANSWER:
            raise SiteMisbehaved(self._edge, f"the cluster's scheduler sends {size} bytes")
        body = await reader.readexactly(size)
        try:
            count = struct.unpack_from("<Q", body)[0]
            first = struct.unpack_from("<Q", body, 8)[0]
            start = 8 * (1 + count)
            return msgspec.msgpack.decode(body[start : start + first], strict=False)
        except (struct.error, msgspec.DecodeError, OverflowError) as error:
            raise SiteMisbehaved(self._edge, "the cluster's scheduler sends no message") from error


def _packed(message: Mapping[str, Any]) -> bytes:
    frame = msgspec.msgpack.encode(message)
    body = struct.pack("<QQ", 1, len(frame)) + frame
    return struct.pack("<Q", len(body)) + body


def _context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context of a cluster: both ends have its one self-signed certificate, and trust no other."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=certificate)
    context.check_hostname = False
    handle, name = tempfile.mkstemp(suffix=".pem")  # ssl reads pairs from files only
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{key}\n{certificate}")
        context.load_cert_chain(name)
    finally:
        os.unlink(name)  # noqa: PTH108 - a name, as mkstemp gives it
    return context
