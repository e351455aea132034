"""Servers of lines over real sockets, which say what they are told to, and how an answer is read whole."""

import asyncio
from contextlib import asynccontextmanager, suppress


class Scripted:
    """Answers each request by the next script: bytes to send; then closes where ``close`` says so."""

    def __init__(self, *scripts, close=False):
        self.scripts = list(scripts)
        self.close = close
        self.requests = []
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while self.scripts:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                told = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")]
                body = await reader.readexactly(int(told[0]) if told else 0)
                self.requests.append((head.split("\r\n")[0], body))
                for piece in self.scripts.pop(0):
                    writer.write(piece)
                    await writer.drain()
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(handler, tls=None):
    at_work = []

    async def handled(reader, writer):
        at_work.append(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(handled, "127.0.0.1", 0, limit=1 << 20, ssl=tls)
    async with server:
        scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
        yield f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"
    await asyncio.gather(*at_work, return_exceptions=True)


async def all_of(lines, url, **how):
    answer = await lines.ask("GET", url, {}, **how)
    try:
        return await answer.rest(1 << 30)
    finally:
        answer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
