"""Lines against servers that keep to HTTP, and such that do not: scripted over real sockets."""

import asyncio
import math
import socket
import struct

import pytest
from lines_servers import OK, Scripted, all_of, served

from edges.errors import DestinationRefused
from edges.lines import kept
from edges.lines.answers import PIECE
from edges.lines.heads import LineClosed, LineError
from edges.lines.lines import Lines, Stream


async def test_one_line_serves_request_after_request():
    script = Scripted([OK], [OK], [OK])
    async with served(script.serve) as url, Lines() as lines:
        assert [await all_of(lines, f"{url}/{n}") for n in range(3)] == [b"hello"] * 3
    assert script.connections == 1
    assert [line for line, _ in script.requests] == [f"GET /{n} HTTP/1.1" for n in range(3)]


async def test_a_body_that_was_not_read_to_its_end_leaves_no_line_behind():
    script = Scripted([OK], [OK])
    async with served(script.serve) as url, Lines() as lines:
        answer = await lines.ask("GET", url, {})
        assert len(await answer.read(2)) == 2
        answer.close()
        answer.close()
        assert await all_of(lines, url) == b"hello"
    assert script.connections == 2


async def test_a_line_that_the_server_closed_meanwhile_is_not_used():
    script = Scripted([OK], [OK], close=True)
    async with served(script.serve) as url, Lines() as lines:
        assert await all_of(lines, url) == b"hello"
        assert await all_of(lines, url) == b"hello"
    assert script.connections == 2


async def test_what_a_server_says_unasked_is_never_taken_for_the_next_answer():
    script = Scripted([OK + OK.replace(b"hello", b"wrong")], [OK])
    async with served(script.serve) as url, Lines() as lines:
        assert await all_of(lines, url) == b"hello"
        assert await all_of(lines, url) == b"hello"
    assert script.connections == 2


async def test_chunks_come_out_as_one_body_however_they_are_cut():
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: v\r\n\r\n"
    for cut in (1, 7, len(raw)):
        script = Scripted([raw[at : at + cut] for at in range(0, len(raw), cut)], [OK])
        async with served(script.serve) as url, Lines() as lines:
            assert await all_of(lines, url) == b"hello world"
            assert await all_of(lines, url) == b"hello"
        assert script.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"",
        b"SSH-2.0-x\r\n\r\n",
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_raises(raw):
    async with served(Scripted([raw], close=True).serve) as url, Lines() as lines:
        with pytest.raises(LineError):
            await all_of(lines, url)


async def test_a_body_without_a_length_ends_with_its_line():
    async with served(Scripted([b"HTTP/1.1 200 OK\r\n\r\nall of it"], close=True).serve) as url, Lines() as lines:
        assert await all_of(lines, url) == b"all of it"


async def test_words_before_the_answer_are_read_over():
    script = Scripted([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK])
    async with served(script.serve) as url, Lines() as lines:
        assert await all_of(lines, url) == b"hello"


async def test_who_is_silent_too_long_is_given_up():
    gate = asyncio.Event()

    async def silent(reader, writer):
        await gate.wait()
        writer.close()

    async with served(silent) as url, Lines() as lines:
        with pytest.raises(TimeoutError):
            await lines.ask("GET", url, {}, stall=0.05)
        gate.set()


async def pieces_of(*pieces):
    for piece in pieces:
        yield piece


async def test_a_streamed_body_arrives_whole_though_one_buffer_carries_it():
    script = Scripted([OK], [OK])
    size = 5 * PIECE + 7
    buffer = bytearray(PIECE)

    async def reused():
        left = size
        while left:
            count = min(left, PIECE)
            buffer[:count] = bytes([left % 251]) * count
            left -= count
            yield memoryview(buffer)[:count]

    expected = b"".join([bytes(piece) async for piece in reused()])
    async with served(script.serve) as url, Lines() as lines:
        for _ in range(2):
            answer = await lines.ask("PUT", url, {}, Stream(reused(), size))
            answer.close()
    assert [body == expected for _, body in script.requests] == [True, True]


@pytest.mark.parametrize("pieces", [(b"abc",), (b"abc", b"defg")])
async def test_a_body_of_another_length_than_announced_is_left_unfinished(pieces):
    script = Scripted([OK])
    async with served(script.serve) as url, Lines() as lines:
        with pytest.raises(LineError):
            await lines.ask("PUT", url, {}, Stream(pieces_of(*pieces), 5))
    assert script.requests == []


async def test_what_a_body_raises_comes_through_and_ends_the_request():
    async def broken():
        yield b"abc"
        raise ValueError("the source is gone")

    script = Scripted([OK])
    async with served(script.serve) as url, Lines() as lines:
        with pytest.raises(ValueError, match="gone"):
            await lines.ask("PUT", url, {}, Stream(broken(), 5))
    assert script.requests == []


async def test_a_refusal_before_the_end_of_the_body_is_heard_and_nothing_more_sent():
    asked = 0

    async def refusing(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull")
        await writer.drain()
        heard.set()
        await reader.read(-1)
        writer.close()

    heard = asyncio.Event()

    async def endless():
        nonlocal asked
        yield b"x" * PIECE
        await heard.wait()
        while True:
            asked += 1
            yield b"x" * PIECE

    async with served(refusing) as url, Lines() as lines:
        answer = await lines.ask("PUT", url, {}, Stream(endless(), 1 << 40))
        assert (answer.status, await answer.rest(100)) == (507, b"full")
        answer.close()
    assert asked < 1000


async def test_addresses_are_checked_before_they_are_dialled():
    def refuse(url):
        raise DestinationRefused("no")

    script = Scripted([OK])
    async with served(script.serve) as url, Lines(check=refuse) as lines:
        with pytest.raises(DestinationRefused):
            await lines.ask("GET", url, {})
        for wrong in (
            "ftp://x/",
            "http://",
            "http://x@y/",
            "http://x\\@y/",
            "http://[::1/",
            "http://x:0/",
            "http://a:b@x/",
            "http://x/a b",
            "http://x:99999/",
            "http://x/\r\nY: z",
        ):
            with pytest.raises(LineError):
                await lines.ask("GET", wrong, {})
    assert script.connections == 0


async def test_nobody_waits_for_two_that_are_fast():
    """A body that is always ready, on both sides, lets others have their turn."""

    async def flood(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        for _ in range(256):
            writer.write(b"x" * PIECE)
            await writer.drain()
        writer.close()

    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with served(flood) as url, Lines() as lines:
        counting = asyncio.create_task(count())
        assert len(await all_of(lines, url)) == 64 << 20
        counting.cancel()
    assert turns > 20


@pytest.mark.parametrize(
    ("tail", "target"),
    [("", "/"), ("/", "/"), ("?a=b", "/?a=b"), ("/a%20b/?c=/d?e#f?g", "/a%20b/?c=/d?e"), ("/@:80//x", "/@:80//x")],
)
async def test_what_stands_behind_the_host_is_asked_for_as_it_is(tail, target):
    script = Scripted([OK])
    async with served(script.serve) as url, Lines() as lines:
        assert await all_of(lines, url.replace("http", "HTTP") + tail) == b"hello"
    assert script.requests[0][0] == f"GET {target} HTTP/1.1"


async def test_a_small_chunk_does_not_make_the_readings_after_it_small():
    large = b"x" * 100_000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n186a0\r\n%s\r\n0\r\n\r\n" % large
    pieces = []
    async with served(Scripted([chunked[:60], chunked[60:]]).serve) as url, Lines() as lines:
        answer = await lines.ask("GET", url, {})
        while piece := await answer.read():
            pieces.append(bytes(piece))
        answer.close()
    assert b"".join(pieces) == b"a" + large
    assert len(pieces) < 1000


@pytest.mark.parametrize("cut", [1, 50, 70_000, 200_000])
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
async def test_a_whole_body_is_one_however_it_is_framed_and_cut(framing, cut):
    large = bytes(range(256)) * 800
    head, raw = {
        "length": (b"Content-Length: %d\r\n" % len(large), large),
        "chunks": (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large)),
        "end": (b"", large),
    }[framing]
    raw = b"HTTP/1.1 200 OK\r\n%s\r\n%s" % (head, raw)
    pieces = [raw[:cut], raw[cut:]]
    for most, expected in ((len(large), large), (len(large) - 1, None)):
        async with served(Scripted(pieces, close=framing == "end").serve) as url, Lines() as lines:
            answer = await lines.ask("GET", url, {}, stall=math.inf)
            assert await answer.whole(most) == expected
            answer.close()


async def test_a_whole_body_that_stands_still_or_breaks_off_raises():
    gate = asyncio.Event()

    async def stalls(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        for piece in (b"a", b"b", b"c"):  # each begins the time anew
            writer.write(piece)
            await writer.drain()
        await gate.wait()
        writer.close()

    async with served(stalls) as url, Lines() as lines:
        answer = await lines.ask("GET", url, {}, stall=0.05)
        with pytest.raises(TimeoutError):
            await answer.whole(100)
        answer.close()
        answer = await lines.ask("GET", url, {})
        gate.set()
        with pytest.raises(LineError):
            await answer.whole(100)
        answer.close()


async def test_who_gives_up_a_whole_body_leaves_no_line_behind():
    gate = asyncio.Event()

    async def slow(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        asked.set()
        await gate.wait()
        writer.close()

    asked = asyncio.Event()
    async with served(slow) as url, Lines() as lines:
        answer = await lines.ask("GET", url, {})
        reading = asyncio.create_task(answer.whole(100))
        await asked.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        answer.close()
        gate.set()
        with pytest.raises(LineError):
            await all_of(lines, url)


async def test_lines_that_nobody_needs_any_more_are_closed(monkeypatch):
    monkeypatch.setattr(kept, "KEPT_SECONDS", 0.02)
    gone = asyncio.Semaphore(0)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if not await reader.read():  # the other side closed it
            gone.release()

    async with served(serve) as url, Lines() as lines:
        answers = [await lines.ask("GET", url, {}) for _ in range(3)]
        for answer in answers:
            assert await answer.whole(5) == b"hello"
            answer.close()
        async with asyncio.timeout(5):
            for _ in answers:
                await gone.acquire()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_line_that_ends_before_the_answer_is_told_as_such(reset):
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if reset:
            told = writer.get_extra_info("socket")
            told.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async with served(hang_up) as url, Lines() as lines:
        with pytest.raises(LineClosed):
            await lines.ask("POST", url, {}, b"{}")
