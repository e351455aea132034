"""A line is watched while it is open: what comes is taken at once, and nothing that was taken is lost unsaid."""

import asyncio
import math

import pytest
from lines_servers import all_of, served

from edges.lines.lines import Lines

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"


async def told(reader, writer, gate):
    """Answer with the first half of a body, and with the second once the gate is open."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"first ")
    await gate.wait()
    writer.write(b"second")
    await writer.drain()


async def test_a_reading_that_is_given_up_ends_the_line_since_nobody_knows_what_it_took():
    gate = asyncio.Event()
    async with served(lambda reader, writer: told(reader, writer, gate)) as url, Lines() as lines:
        answer = await lines.ask("GET", url, {})
        assert bytes(await answer.read(6)) == b"first "
        reading = asyncio.create_task(answer.read(6))
        while answer._socket._waiting is None:  # noqa: ASYNC110 - it waits as soon as it had its turn
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.set()
        with pytest.raises(OSError, match="descriptor"):
            await answer.read(6)
        answer.close()


async def test_what_comes_while_nobody_reads_waits_for_who_does():
    gate = asyncio.Event()
    async with served(lambda reader, writer: told(reader, writer, gate)) as url, Lines() as lines:
        answer = await lines.ask("GET", url, {})
        assert bytes(await answer.read(6)) == b"first "
        gate.set()
        while answer._socket._watched:  # noqa: ASYNC110 - until the event loop has noticed, and looks away
            await asyncio.sleep(0)
        assert bytes(await answer.read(6)) == b"second"
        assert bytes(await answer.read(6)) == b""
        answer.close()


def silent_after(answers, gate):
    """Serve so many answers, and then nothing until the gate is open."""

    async def serve(reader, writer):
        for _ in range(answers):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"first second")
            await writer.drain()
        await gate.wait()

    return serve


@pytest.mark.parametrize(("before", "stall"), [(30.0, 0.05), (0.05, 0.2), (math.inf, 0.05)])
async def test_who_waits_on_a_kept_line_is_given_up_by_their_own_time_and_no_sooner(before, stall):
    gate = asyncio.Event()
    async with served(silent_after(2, gate)) as url, Lines() as lines:
        for _ in range(2):
            assert await all_of(lines, url, stall=before) == b"first second"
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10) as test:
                await lines.ask("GET", url, {}, stall=stall)
        assert not test.expired()
        assert asyncio.get_running_loop().time() - began >= stall
        gate.set()
