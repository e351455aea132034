"""Spans of a gateway, as a collector gets them by OTLP over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from free_ports import free_port
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from served_app import served
from yarl import URL

from edges.catalogues.memory import MemoryCatalogue
from edges.http import Outbound
from edges.settings import Secret
from edges.site.app import SiteServerSettings, serving
from gateway.app import running_gateway
from gateway.config import parse_settings
from gateway.settings import TracingSettings
from gateway.tracing import Span, Spans, sampler
from gateway.tracing_export import exporting

pytestmark = pytest.mark.service

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
POLICY = {"name": "day", "group": "*", "resource": "requests", "kind": "window", "amount": 1000, "window_seconds": 60}


class Collector:
    """Takes spans as a real one does, and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.headers: list[Any] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Collector"]:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        async with served(app) as url:
            self.url = f"{url}/v1/traces"
            yield self

    async def _take(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        self.headers.append(request.headers)
        for each in told.resource_spans:
            self.services |= {
                pair.value.string_value for pair in each.resource.attributes if pair.key == "service.name"
            }
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def named(self, name: str) -> list[Any]:
        return [each for each in self.spans if each.name == name]


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def settings_of(folder: Path, catalogue: str, **tracing: Any) -> Any:
    content = {
        "server": {"port": free_port(), "state": str(folder / "state")},
        "sites": [{"id": "edge-a", "kind": "edge", "catalogue": {"url": catalogue}}],
        "quotas": {"policies": [POLICY]},
        "tracing": {"every_seconds": 0.05, **tracing},
    }
    return parse_settings(content, {}, source="test")


async def searched(url: str, **headers: str) -> None:
    """Make a search that a site took part in."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/readyz") as response:
                if response.status == 200:
                    break
        async with session.get(f"{url}/search?limit=1", headers=headers) as response:
            assert response.status == 200, await response.text()


async def test_a_search_is_told_as_a_trace_with_its_parts_below_who_called(tmp_path: Path):
    (tmp_path / "key").write_text("collector-key")
    async with Collector().serving() as collector, serving(MemoryCatalogue(), SiteServerSettings()) as catalogue:
        secret = {"X-Key": {"file": str(tmp_path / "key")}}
        settings = settings_of(tmp_path, catalogue, endpoint=collector.url, share=0.0, headers=secret, service="lake")
        async with running_gateway(settings) as url:
            await searched(url, traceparent=f"{CALLER}-01")
            await searched(url, traceparent=f"{CALLER}-00")
            await searched(url)
    [request] = collector.named("GET /search")
    assert request.trace_id.hex() == CALLER[3:35]
    assert request.parent_span_id.hex() == CALLER[36:]
    assert attributes(request)["http.response.status_code"] == 200
    [call] = collector.named("POST edge-a")
    assert attributes(call)["lakegate.site"] == "edge-a"
    assert collector.named("ledger")
    for part in (call, *collector.named("ledger")):
        assert (part.trace_id, part.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
    assert {each.trace_id for each in collector.spans} == {request.trace_id}  # nobody asked for the others
    assert collector.services == {"lake"}
    assert all(each["X-Key"] == "collector-key" for each in collector.headers)


async def test_all_requests_are_recorded_where_the_share_is_one(tmp_path: Path):
    async with Collector().serving() as collector, serving(MemoryCatalogue(), SiteServerSettings()) as catalogue:
        settings = settings_of(tmp_path, catalogue, endpoint=collector.url, share=1.0)
        async with running_gateway(settings) as url:
            await searched(url)
    [request] = collector.named("GET /search")
    assert not request.parent_span_id
    assert [each for each in collector.spans if each.name.endswith("edge-a") and each.trace_id != request.trace_id], (
        "what is asked of sites for nobody, to see how they are, is a trace of its own"
    )


async def test_a_collector_that_is_away_keeps_nobody_waiting(tmp_path: Path):
    async with serving(MemoryCatalogue(), SiteServerSettings()) as catalogue:
        endpoint = f"http://127.0.0.1:{free_port()}/v1/traces"
        settings = settings_of(tmp_path, catalogue, endpoint=endpoint, share=1.0, timeout_seconds=0.2, queue_spans=8)
        async with running_gateway(settings) as url:
            for _ in range(20):
                await searched(url)


@pytest.mark.parametrize("lines", [False, True])
async def test_a_site_is_told_which_part_of_the_trace_its_request_is(lines: bool):
    heard: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.headers["traceparent"])
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/", hear)
    told: list[Span] = []
    async with served(app) as site:
        spans = Spans(export=told.append, share=1.0, sites={("127.0.0.1", URL(site).port): "edge-a"})
        async with Outbound(allowed=[site], tracer=spans) as outbound:
            if lines:
                answer = await outbound.site_lines.ask("GET", site, {})
                answer.close()
            else:
                async with outbound.session.get(site) as response:
                    assert response.status == 200
    [span] = told
    assert heard == [f"00-{span.known.trace_id}-{span.known.span_id}-01"]
    assert (span.name, span.kind, span.failed) == ("GET edge-a", "client", False)


async def test_what_waits_when_the_gateway_stops_is_sent_first(tmp_path: Path):
    async with Collector().serving() as collector:
        settings = TracingSettings(endpoint=collector.url, every_seconds=3600)
        async with exporting(settings, "one") as export:
            spans = Spans(export=export, share=1.0, sites={})
            async with (
                Outbound(allowed=[collector.url], tracer=spans) as outbound,
                outbound.session.get(collector.url) as response,
            ):
                assert response.status == 405
        assert [each.name for each in collector.spans] == ["GET other"]


def test_gateways_of_one_share_choose_the_same_traces():
    ids = [f"{number:032x}" for number in range(0, 1 << 64, 1 << 54)]
    chosen = [each for each in ids if sampler(0.25)(each)]
    assert len(chosen) == len(ids) // 4
    assert not [each for each in ids if sampler(0.0)(each)]
    assert all(sampler(1.0)(each) for each in [*ids, "f" * 32])


def test_a_gateway_without_a_collector_records_nothing_and_a_wrong_one_is_refused():
    assert TracingSettings().endpoint == ""
    with pytest.raises(ValueError, match="endpoint is a URL"):
        TracingSettings(endpoint="collector:4318")
    with pytest.raises(ValueError, match="from 0 to 1"):
        TracingSettings(share=2.0)
    assert TracingSettings(headers={"X": Secret(env="A")}).headers
