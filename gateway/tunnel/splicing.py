"""What both ends of a tunnel share: the words before a stream, and the stream itself."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
from aiohttp import WSMsgType, web

IDLE = "idle"
"""Said by the edge now and then while a connection waits, and answered with the same: both know the other is there."""
OPEN = "open "
"""Said by the gateway, and the name of a service after it: the stream begins."""
OPENED = "opened"
REFUSED = "refused"
"""The edge's answer: from here on, binary messages are the stream's bytes."""
ENDED = "end"
"""This direction of the stream is over (TCP's half-close)."""

IDLE_SECONDS = 20.0
"""How often the edge says that it is there: less than balancers and NATs forget a connection in."""
SILENT_SECONDS = 50.0
"""A waiting connection that says nothing for so long is dead."""
PIECE_BYTES = 256 << 10
MAX_MESSAGE_BYTES = 1 << 20
HALF_CLOSED_SECONDS = 30.0
"""How long one direction may outlive the other."""
WRITE_BUFFER_BYTES = 1 << 20

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LOST = (ConnectionError, aiohttp.ClientError, TimeoutError)


def prepare(writer: asyncio.StreamWriter) -> None:
    """Set a connection up for small messages, and for finding dead peers."""
    writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def splice(websocket: Socket, ends: Ends) -> None:
    """Carry a stream until both directions are over, or one side is lost; then both are closed."""
    reader, writer = ends
    tasks = (
        asyncio.create_task(_to_websocket(reader, websocket), name="tunnel-out"),
        asyncio.create_task(_to_connection(websocket, writer), name="tunnel-in"),
    )
    try:
        await _until_over(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.transport.abort() if any(map(_broken, tasks)) else writer.close()
        with suppress(*_LOST):
            await websocket.close()


async def _until_over(tasks: "Sequence[asyncio.Task[bool]]") -> None:
    """Wait for both directions: the other one may go on for a while, unless the connection is lost."""
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if left and not any(map(_broken, done)):
        await asyncio.wait(left, timeout=HALF_CLOSED_SECONDS)


def _broken(task: "asyncio.Task[bool]") -> bool:
    return task.cancelled() or task.exception() is not None or not task.result()


async def _to_websocket(reader: asyncio.StreamReader, websocket: Socket) -> bool:
    """Send what is read; tell whether it ended well."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            await websocket.send_bytes(piece)
        await websocket.send_str(ENDED)
    except _LOST:
        return False
    return True


async def _to_connection(websocket: Socket, writer: asyncio.StreamWriter) -> bool:
    """Write what comes; tell whether it ended well."""
    try:
        while (message := await websocket.receive()).type is WSMsgType.BINARY:
            writer.write(message.data)
            await writer.drain()
        if message.type is not WSMsgType.TEXT or message.data != ENDED:
            return False
        writer.write_eof()
    except (*_LOST, OSError):
        return False
    return True
