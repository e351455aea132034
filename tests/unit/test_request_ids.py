"""A request is known by one id on all its way."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edges.http import Outbound
from edges.request_ids import (
    know_requests,
    read_traced,
    request_ids,
    tell_request_id,
    travelling_headers,
)
from gateway.logs import set_up_logs

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_request_keeps_the_id_and_the_trace_that_it_came_with():
    known = read_traced({"X-Request-Id": "job-7", "traceparent": PARENT})
    assert known.request_id == "job-7"
    assert known.trace_id == TRACE
    assert known.parent_id == "b7ad6b7169203331"
    assert known.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert known.headers["traceparent"].endswith("-01")
    assert known.span_id != known.parent_id


@pytest.mark.parametrize("given", ["", "a b", "a\r\nX: y", "é", "-x", "x" * 129, '"'])
def test_an_id_that_is_not_fit_for_a_log_is_replaced(given):
    assert read_traced({"X-Request-Id": given}).request_id != given


@pytest.mark.parametrize(
    "given", ["", "00-0-0-0", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{TRACE}-{'0' * 16}-01", "ff" + PARENT[2:]]
)
def test_a_malformed_trace_is_replaced_and_not_recorded(given):
    known = read_traced({"traceparent": given})
    assert known.trace_id != TRACE
    assert known.flags == "00"
    assert not known.parent_id


def test_outside_of_a_request_nothing_travels():
    assert not travelling_headers()


@pytest.fixture
async def site() -> AsyncIterator[TestServer]:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({name.lower(): value for name, value in request.headers.items()})

    app = web.Application()
    app.router.add_get("/", echo)
    async with TestServer(app) as server:
        yield server


@pytest.fixture
async def gateway(site: TestServer) -> AsyncIterator[TestServer]:
    address = str(site.make_url("/"))
    async with Outbound(allowed=[address]) as outbound:

        async def ask(request: web.Request) -> web.Response:
            async def once() -> object:
                async with outbound.session.get(address) as response:
                    return await response.json()

            return web.json_response(await asyncio.create_task(once()))

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"piece")
            return response

        app = web.Application(middlewares=[request_ids()])
        app.on_response_prepare.append(tell_request_id)
        app.router.add_get("/", ask)
        app.router.add_get("/stream", stream)
        async with TestServer(app) as server:
            yield server


async def test_the_id_travels_to_the_site_through_the_tasks_of_a_request(gateway):
    headers = {"X-Request-Id": "job-7", "traceparent": PARENT}
    async with aiohttp.ClientSession() as client, client.get(gateway.make_url("/"), headers=headers) as response:
        seen = await response.json()
        assert response.headers["X-Request-Id"] == "job-7"
    assert seen["x-request-id"] == "job-7"
    assert TRACE in seen["traceparent"]


async def test_two_requests_at_once_are_not_mixed_up(gateway):
    async with aiohttp.ClientSession() as client:

        async def ask(number: int) -> str:
            async with client.get(gateway.make_url("/"), headers={"X-Request-Id": f"job-{number}"}) as response:
                return str((await response.json())["x-request-id"])

        assert await asyncio.gather(*map(ask, range(20))) == [f"job-{number}" for number in range(20)]


async def test_a_stream_tells_its_id(gateway):
    async with aiohttp.ClientSession() as client, client.get(gateway.make_url("/stream")) as response:
        assert len(response.headers["X-Request-Id"]) == 32


async def test_logs_tell_the_id_of_their_request(capsys):
    async def handler(request: web.Request) -> web.Response:
        logging.getLogger("lakegate.test").warning("something", extra={"site": "edge-a"})
        return web.Response()

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up_logs("INFO", as_json=True)
    try:
        app = web.Application(middlewares=[request_ids()])
        app.router.add_get("/", handler)
        async with TestServer(app) as server, aiohttp.ClientSession() as client:
            await client.get(server.make_url("/"), headers={"X-Request-Id": "job-7"})
    finally:
        root.handlers[:], root.level = before, level
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["request_id"] for line in lines if line["message"] == "something"] == ["job-7"]


def test_a_record_outside_of_a_request_has_no_id():
    record = logging.makeLogRecord({})
    assert know_requests(record)
    assert not hasattr(record, "request_id")
