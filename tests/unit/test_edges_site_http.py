"""Requests to a site over real sockets: retries, rests, bounds, and what is hostile below HTTP's surface."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from edges.budget import Rate
from edges.errors import EdgeError, SiteMisbehaved, SiteNotAsked, SiteUnavailable
from edges.http import Outbound
from edges.observing import Outcome
from edges.settings import CatalogueSettings
from edges.site_http import Answer, Ask, SiteHttp

ASKED = {"by": "lines"}


@pytest.fixture(params=["lines", "session"], autouse=True)
def way(request: pytest.FixtureRequest) -> None:
    """Ask in each of the ways that there are: nobody can tell the difference."""
    ASKED["by"] = request.param


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Looking:
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.troubles: list[str] = []
        self.codes: list[str] = []
        self.waits: list[float] = []

    def called(self, site: str, outcome: Outcome, seconds: float) -> None:
        self.outcomes.append(outcome)

    def waited(self, site: str, seconds: float) -> None:
        self.waits.append(seconds)

    def spared(self, site: str, code: str) -> None:
        self.codes.append(code)

    def repeated(self, site: str, trouble: str) -> None:
        self.troubles.append(trouble)

    def hedged(self, site: str, *, won: bool) -> None:
        raise AssertionError


@asynccontextmanager
async def raw(serve: Serve, looking: Looking | None = None, **settings: object) -> AsyncIterator[tuple[SiteHttp, Ask]]:
    """Serve raw bytes on loopback; gives a client of it, and a request to it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    chosen = CatalogueSettings(url=url, **{"timeout_seconds": 3.0, "max_page_bytes": 100_000, **settings})  # type: ignore[arg-type]
    async with Outbound(allowed=[url]) as outbound:
        http = SiteHttp(
            site="s",
            settings=chosen,
            session=outbound.session,
            lines=outbound.site_lines if ASKED["by"] == "lines" else None,
            observer=looking or Looking(),
        )
        try:
            yield http, Ask(method="POST", url=url, body=b"{}")
        finally:
            server.close()


async def head_of(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await reader.read(2)


def scripted(*answers: bytes) -> Serve:
    """Answer each request with the next of these bytes, and the last one from then on; empty: hang up."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await head_of(reader)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if not answer:
                return
            writer.write(answer)
            await writer.drain()

    return serve


def status(code: int, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n{lines}\r\n".encode()


def encoded(body: bytes, coding: str = "gzip", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode() + body


async def failure(serve: Serve, looking: Looking | None = None, **settings: object) -> EdgeError:
    async with raw(serve, looking, **settings) as (http, ask):
        with pytest.raises(EdgeError) as caught:
            await http.fetch(ask)
    return caught.value


async def test_a_connection_that_was_closed_meanwhile_is_replaced_once() -> None:
    looking = Looking()
    async with raw(scripted(OK, b"", OK), looking) as (http, ask):
        first, second = await http.fetch(ask), await http.fetch(ask)
    assert (first.body, second.body) == (b"{}", b"{}")
    assert looking.troubles == ["stale"]


async def test_a_site_that_always_hangs_up_is_asked_twice_and_no_more() -> None:
    looking = Looking()
    error = await failure(scripted(b""), looking)
    assert isinstance(error, SiteUnavailable)
    assert (error.code, looking.outcomes) == ("unreachable", ["unreachable"] * 2)


async def test_an_overloaded_site_is_asked_again_and_a_write_is_not() -> None:
    looking = Looking()
    async with raw(scripted(status(503), OK, status(503), OK), looking) as (http, ask):
        assert (await http.fetch(ask)).status == 200
        write = Ask(method="POST", url=ask.url, body=b"{}", repeatable=False)
        assert (await http.fetch(write)).status == 503
    assert looking.troubles == ["overloaded"]


async def test_a_refusal_is_an_answer_and_is_not_repeated() -> None:
    looking = Looking()
    async with raw(scripted(status(400)), looking) as (http, ask):
        assert (await http.fetch(ask)).status == 400
    assert looking.outcomes == ["refused"]


async def test_retries_are_a_small_share_of_the_requests() -> None:
    looking = Looking()
    async with raw(scripted(status(502)), looking) as (http, ask):
        for _ in range(20):
            assert (await http.fetch(ask)).status == 502
    assert len(looking.troubles) <= 13


async def test_a_long_rest_is_kept_and_nothing_is_sent_meanwhile() -> None:
    looking = Looking()
    async with raw(scripted(status(429, "Retry-After: 60")), looking) as (http, ask):
        assert (await http.fetch(ask)).status == 429
        with pytest.raises(SiteNotAsked) as caught:
            await http.fetch(ask)
    assert (looking.outcomes, looking.codes, caught.value.code) == (["throttled"], ["resting"], "resting")
    assert 50 < caught.value.retry_after <= 60


async def test_a_budget_lets_a_burst_through_makes_one_wait_and_refuses_the_rest_at_once() -> None:
    looking = Looking()
    rate = Rate(per_second=20.0, burst=3.0)
    async with raw(scripted(OK), looking, rate=rate, wait_seconds=0.06) as (http, ask):
        found = await asyncio.gather(*(http.fetch(ask) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(each, Answer) for each in found) == 4
    assert sum(isinstance(each, SiteNotAsked) for each in found) == 4
    assert (len(looking.waits), looking.codes) == (1, ["budget"] * 4)


async def test_no_more_requests_run_at_once_than_the_site_takes() -> None:
    running = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        while True:
            await head_of(reader)
            running, most = running + 1, max(most, running + 1)
            await asyncio.sleep(0)
            running -= 1
            writer.write(OK)

    async with raw(serve, connections=2) as (http, ask):
        await asyncio.gather(*(http.fetch(ask) for _ in range(20)))
    assert most == 2


async def test_a_slow_drip_ends_with_the_time_of_the_request() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    looking = Looking()
    error = await failure(drip, looking, timeout_seconds=0.2)
    assert (getattr(error, "code", ""), looking.outcomes) == ("timeout", ["timeout"])


async def test_a_slow_drip_of_headers_ends_as_well() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert isinstance(await failure(drip, timeout_seconds=0.2), SiteUnavailable)


async def test_time_spent_waiting_for_a_connection_counts() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw(hang, connections=1, timeout_seconds=0.2) as (http, ask):
        found = await asyncio.gather(*(http.fetch(ask) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [SiteUnavailable] * 3


SPACES = b" " * 50_000_000
BOMBS = {
    "gzip": encoded(gzip.compress(SPACES, compresslevel=9)),
    "deflate": encoded(zlib.compress(SPACES), coding="deflate"),
    "many gzip members": encoded(gzip.compress(b" " * 90_000) * 500),
    "plain": b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b" " * 200_000,
    "chunks without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"3e8\r\n%b\r\n" % (b" " * 1_000) * 500,
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_an_answer_larger_than_we_take_is_given_up_however_it_is_packed(bomb: str) -> None:
    looking = Looking()
    error = await failure(scripted(BOMBS[bomb]), looking)
    assert isinstance(error, SiteMisbehaved | SiteUnavailable)
    assert looking.outcomes[0] in ("too_large", "broken", "unreachable")


BROKEN = {
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    "a huge header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "a huge status line": b"HTTP/1.1 200 " + b"y" * 1_000_000 + b"\r\n\r\n",
    "no HTTP": b"220 smtp.example ESMTP\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "gzip that is none": encoded(b"not gzip at all"),
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", BROKEN)
async def test_what_is_no_http_answer_is_a_failure_of_the_site(answer: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(BROKEN[answer])
        await writer.drain()

    assert isinstance(await failure(serve), SiteUnavailable | SiteMisbehaved)


async def test_bytes_beyond_the_announced_length_never_answer_the_next_request() -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    answered = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        while True:
            await head_of(reader)
            writer.write(OK if answered else OK + forged)
            answered = True
            await writer.drain()

    async with raw(serve) as (http, ask):
        assert (await http.fetch(ask)).body == b"{}"
        with_luck: object
        try:
            with_luck = (await http.fetch(ask)).body
        except SiteUnavailable:
            with_luck = b"{}"
        assert with_luck == b"{}"


async def test_reasons_name_no_address() -> None:
    async with Outbound(allowed=["http://127.0.0.1:9"]) as outbound:
        settings = CatalogueSettings(url="http://127.0.0.1:9")
        lines = outbound.site_lines if ASKED["by"] == "lines" else None
        http = SiteHttp(site="s", settings=settings, session=outbound.session, lines=lines)
        with pytest.raises(SiteUnavailable) as caught:
            await http.fetch(Ask(method="GET", url="http://127.0.0.1:9/"))
    assert "127.0.0.1" not in str(caught.value)
    assert "ConnectionRefusedError" in str(caught.value)


async def test_a_request_given_up_leaves_no_connection_in_use() -> None:
    async with raw(scripted(OK), connections=1) as (http, ask):
        for _ in range(5):
            task = asyncio.create_task(http.fetch(ask))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert (await http.fetch(ask)).status == 200
