"""A way to an API server that can be frozen and cut: a network as it is on bad days. TLS goes through unopened."""

import asyncio
import contextlib
import json
from pathlib import Path


class FaultyWay:
    """Passes connections on to a port of this machine; its own is ``port``."""

    def __init__(self, target):
        self.target, self.port, self.cuts, self.opened = target, 0, 0, 0
        self._open = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.thaw()
            server.close()
            self.cut()

    def kubeconfig(self, before, file):
        """Write a kubeconfig that leads through here."""
        told = json.loads(Path(before).read_text())
        told["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        file.write_text(json.dumps(told))
        return file

    def freeze(self):
        """Let no byte through from now on, and close nothing: what waits for one sees only silence."""
        self._flowing.clear()

    def thaw(self):
        self._flowing.set()

    def cut(self):
        """Reset all connections that are open."""
        self.cuts += len(self._open)
        for each in list(self._open):
            each.transport.abort()

    async def _pass(self, reader, writer):
        self.opened += 1
        self._open.add(writer)
        with contextlib.suppress(OSError):
            there, away = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(self._pump(reader, away), self._pump(there, writer), return_exceptions=True)
        self._open.discard(writer)
        writer.transport.abort()

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
