"""What stands behind ``kubectl port-forward`` in tests: passes connections on to where a Service listens."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path


def listening(services: Path, name: str) -> tuple[str, int]:
    """Where a Service listens now, as the node has written it."""
    host, port = json.loads(services.read_text())[name]
    return host, port


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def forward(services: Path, service: str, local: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = listening(services, service)
        with contextlib.suppress(OSError):
            there, away = await asyncio.open_connection(host, port)
            await asyncio.gather(pump(reader, away), pump(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", local) as server:
        await server.serve_forever()


if __name__ == "__main__":
    place, *arguments = sys.argv[1:]
    [named] = [each for each in arguments if each.startswith("service/")]
    [ports] = [each for each in arguments if ":" in each]
    asyncio.run(forward(Path(place), named.removeprefix("service/"), int(ports.split(":")[0])))
