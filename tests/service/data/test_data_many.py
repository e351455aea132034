"""Downloads of a gateway in a process of its own: its memory stays flat, its searches go on, and its end is no harm."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest
from aiohttp import web
from data_scene import ALICE, GROUP, Origin, scene, site_of
from free_ports import free_port
from waiting import until

from gateway.data.hrefs import data_path

pytestmark = pytest.mark.service

MIB = 1 << 20
LARGE = int(float(os.environ.get("LAKEGATE_DOWNLOAD_GB", "0.5")) * 1e9)
"""Bytes of the large object: 5 GB where the whole is checked."""
READERS = int(os.environ.get("LAKEGATE_SLOW_READERS", "300"))
MOST_GROWTH = 48 * MIB
AUTH = {"Authorization": f"Bearer {ALICE}"}


def path_of(asset: str) -> str:
    return data_path(site="hub", collection="scenes", item="one", asset=asset)


class Gateway:
    """A gateway as a program, which can be killed and started again on the same state."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.port = settings["server"]["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._config = folder / "lakegate.yaml"
        self._config.write_text(json.dumps(settings))
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve", "--config", str(self._config)), stdout=log, stderr=log
            )
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    assert self.process is not None
                    assert self.process.returncode is None, (self._folder / "log").read_text()
                    return False

            await until(ready)

    async def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(how)
            await self.process.wait()

    @property
    def memory(self) -> int:
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)


@asynccontextmanager
async def gateway_over(folder: Path, origin: Origin, **more: Any) -> AsyncIterator[Gateway]:
    (folder / "token").write_text(ALICE)
    item = scene("one", {name: f"{origin.url}/{name}" for name in ("large", "small")})
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(site_of([item]))
        site = {"id": "hub", "kind": "hub", "catalogue": {"url": url}, "asset_origins": [origin.url]}
        site["downloads"] = {"in_flight": 5_000}
        settings = {
            "server": {"port": free_port(), "state": str(folder / "state")},
            "auth": {"tokens": [{"user": "alice", "token": {"file": str(folder / "token")}, "groups": [GROUP]}]},
            "sites": [site],
            "data": {"per_user": 5_000},
            **more,
        }
        gateway = Gateway(folder, settings)
        await gateway.start()
        stack.push_async_callback(gateway.end)
        yield gateway


def endless(length: int) -> Callable[[web.Request, bytes], Any]:
    """Return an answer of so many bytes that are never anywhere at once: each tells its place."""

    async def answer(request: web.Request, _: bytes) -> web.StreamResponse:
        asked = request.http_range
        start = asked.start or 0
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": '"v1"'})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
        response.content_length = length - start
        await response.prepare(request)
        while start < length:
            piece = bytes_at(start, min(256 << 10, length - start))
            await response.write(piece)
            start += len(piece)
        return response

    return answer


_PATTERN = b"".join(number.to_bytes(4, "big") for number in range(1 << 17))


def bytes_at(start: int, count: int) -> bytes:
    offset = start % len(_PATTERN)
    piece = _PATTERN[offset : offset + count]
    return piece if len(piece) == count else piece + bytes_at(0, count - len(piece))


async def test_a_large_object_passes_in_flat_memory(tmp_path: Path, origin: Origin, record_property: Any) -> None:
    origin.answers["large"] = endless(LARGE)
    origin.files["small"] = b"warm"
    async with gateway_over(tmp_path, origin) as gateway, aiohttp.ClientSession(headers=AUTH) as session:
        async with session.get(gateway.url + path_of("small")) as answer:
            assert await answer.read() == b"warm"
        before, most, got = gateway.memory, 0, 0
        started = time.perf_counter()
        async with session.get(gateway.url + path_of("large"), timeout=aiohttp.ClientTimeout(total=None)) as answer:
            assert answer.headers["Content-Length"] == str(LARGE)
            async for piece in answer.content.iter_any():
                if got % (64 * MIB) < len(piece):
                    assert piece[:1024] == bytes_at(got, len(piece))[:1024]
                    most = max(most, gateway.memory)
                got += len(piece)
        assert got == LARGE
        assert most - before < MOST_GROWTH
        record_property("download_gb", LARGE / 1e9)
        record_property("download_growth_mib", round((most - before) / MIB, 1))
        record_property("download_mb_s", round(LARGE / 1e6 / (time.perf_counter() - started)))


def slow_reader(gateway: Gateway) -> socket.socket:
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", gateway.port))
    line.sendall(f"GET {path_of('large')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n\r\n".encode())
    return line


async def test_many_slow_readers_do_not_stop_the_searches(tmp_path: Path, origin: Origin, record_property: Any) -> None:
    origin.answers["large"] = endless(1 << 40)
    origin.files["small"] = b"quick"
    async with gateway_over(tmp_path, origin) as gateway, aiohttp.ClientSession(headers=AUTH) as session:
        before = gateway.memory

        async def in_flight() -> int:
            async with session.get(f"{gateway.url}/metrics") as answer:
                for line in (await answer.text()).splitlines():
                    if line.startswith('lakegate_downloads_in_flight{site="hub"}'):
                        return int(float(line.rpartition(" ")[2]))
            return 0

        async def all_in_flight() -> bool:
            return await in_flight() == READERS

        with ExitStack() as readers:
            for _ in range(READERS):
                readers.enter_context(await asyncio.to_thread(slow_reader, gateway))
            await until(all_in_flight)
            for _ in range(20):
                async with session.post(f"{gateway.url}/search", json={"limit": 1}) as answer:
                    page = msgspec.json.decode(await answer.read())
                    assert (answer.status, page["federation:missing"], len(page["features"])) == (200, [], 1)
            async with session.get(gateway.url + path_of("small")) as answer:
                assert await answer.read() == b"quick"
            assert await in_flight() == READERS
            each = (gateway.memory - before) / READERS
            record_property("slow_readers", READERS)
            record_property("slow_reader_kib", round(each / 1024))
            assert each < MIB

        async def none_in_flight() -> bool:
            return await in_flight() == 0

        await until(none_in_flight)


async def test_a_gateway_that_is_killed_costs_a_download_nothing_but_another_request(
    tmp_path: Path, origin: Origin
) -> None:
    length = 40_000_000
    origin.answers["large"] = endless(length)
    window = {"name": "egress", "group": GROUP, "resource": "egress_bytes", "kind": "window", "amount": 1e9}
    quotas = {"policies": [window | {"window_seconds": 3600}], "lease_seconds": 2}
    async with gateway_over(tmp_path, origin, quotas=quotas) as gateway:
        async with (
            aiohttp.ClientSession(headers=AUTH) as session,
            session.get(gateway.url + path_of("large")) as answer,
        ):
            etag = answer.headers["ETag"]
            first = await answer.content.readexactly(1_500_000)
            await gateway.end()
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        await gateway.start()
        headers = {**AUTH, "Range": f"bytes={len(first)}-", "If-Range": etag}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(gateway.url + path_of("large")) as answer:
                assert answer.status == 206
                rest = await answer.read()
            assert first + rest == bytes_at(0, length)

            async def settled() -> bool:
                async with session.get(f"{gateway.url}/quotas/me") as told:
                    (quota,) = msgspec.json.decode(await told.read())["quotas"]
                    return (quota["used"], quota["reserved"]) == (len(rest), 0)

            await until(settled)
