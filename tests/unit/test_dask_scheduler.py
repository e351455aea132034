"""A scheduler that answers what it likes: nothing of it is unpickled, and nothing grows without end."""

import asyncio
import pickle
import ssl
import struct

import msgspec
import pytest
from self_signed import self_signed

from edges.compute.dask_scheduler import SchedulerComm
from edges.errors import SiteMisbehaved, SiteUnavailable


@pytest.fixture(scope="module")
def pair():
    """A cluster's self-signed certificate and its key."""
    return self_signed("dask-gateway")


def framed(*frames):
    body = struct.pack(f"<{1 + len(frames)}Q", len(frames), *map(len, frames)) + b"".join(frames)
    return struct.pack("<Q", len(body)) + body


HELLO = framed(msgspec.msgpack.encode({"compression": None, "python": [3, 11, 0], "pickle-protocol": 5}))


class Bomb:
    def __reduce__(self):
        return pytest.exit, ("something was unpickled",)


async def told(pair, tmp_path, answer):
    """Ask a scheduler that answers with these bytes; return what came of it, and what it was asked."""
    file = tmp_path / "pair.pem"
    file.write_text(pair[1] + pair[0])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    asked = []

    async def serve(reader, writer):
        for reply in (HELLO, answer):
            size = struct.unpack("<Q", await reader.readexactly(8))[0]
            asked.append(await reader.readexactly(size))
            writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        comm = SchedulerComm(edge="edge-a", address=("127.0.0.1", port), cluster="c", certificate=pair[0], key=pair[1])
        return await comm.run_on_workers(b"function", b"arguments"), asked


async def test_each_worker_is_asked_and_told_of(pair, tmp_path):
    answer = framed(msgspec.msgpack.encode({"tls://a": {"status": "OK"}, "tls://b": {"status": "error"}}))
    said, asked = await told(pair, tmp_path, answer)
    assert said == {"tls://a": True, "tls://b": False}
    message = msgspec.msgpack.decode(asked[1][16:])
    assert (message["op"], message["msg"]["op"], message["msg"]["function"]) == ("broadcast", "run", b"function")


async def test_nothing_is_unpickled(pair, tmp_path):
    evil = msgspec.msgpack.encode({"tls://a": {"__Pickled__": 1}, "status": {"status": "OK"}})
    said, _ = await told(pair, tmp_path, framed(evil, pickle.dumps(Bomb())))
    assert said == {"tls://a": False, "status": True}


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack("<Q", 1 << 40),
        struct.pack("<Q", 3) + b"abc",
        framed(b"\xc1"),
        framed(msgspec.msgpack.encode([1, 2])),
        struct.pack("<QQQ", 16, 1 << 60, 1 << 60),
    ],
)
async def test_what_is_no_answer_is_refused(pair, tmp_path, answer):
    with pytest.raises(SiteMisbehaved):
        await told(pair, tmp_path, answer)


async def test_an_answer_that_breaks_off_is_an_unavailable_site(pair, tmp_path):
    with pytest.raises(SiteUnavailable):
        await told(pair, tmp_path, struct.pack("<Q", 100) + b"half")
