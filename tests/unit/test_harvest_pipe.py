"""Frames between processes: whole, in their order, and never too long."""

import asyncio
import socket

import msgspec
import pytest

from harvest.beside.wire import MAX_FRAME, Noted, Pipe, Up


async def ends() -> tuple[Pipe, socket.socket]:
    ours, theirs = socket.socketpair()
    _, pipe = await asyncio.get_running_loop().create_unix_connection(Pipe, sock=ours)
    return pipe, theirs


async def test_frames_come_as_they_were_sent_however_they_are_cut():
    pipe, theirs = await ends()
    up = Up(noted=(Noted(logger="harvest", level=20, message="m" * 100, extra={}),))
    body = msgspec.msgpack.encode(up)
    sent = (len(body).to_bytes(4, "big") + body) * 2
    with theirs:
        for start in range(0, len(sent), 7):
            theirs.send(sent[start : start + 7])
        assert [msgspec.msgpack.decode(await pipe.receive(), type=Up) for _ in range(2)] == [up, up]
    assert await pipe.receive() is None


async def test_what_is_sent_comes_as_one_frame_each():
    pipe, theirs = await ends()
    with theirs:
        pipe.send(Up())
        raw = await asyncio.to_thread(theirs.recv, 1 << 16)
        assert len(raw) == 4 + int.from_bytes(raw[:4], "big")
        assert msgspec.msgpack.decode(raw[4:], type=Up) == Up()
    pipe.close()


@pytest.mark.parametrize("length", [MAX_FRAME + 1, (1 << 32) - 1])
async def test_a_frame_that_would_be_too_long_ends_the_line(length):
    pipe, theirs = await ends()
    with theirs:
        theirs.send(length.to_bytes(4, "big"))
        assert await pipe.receive() is None
    pipe.send(Up())
    pipe.close()
