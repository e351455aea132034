"""Spans to a collector by OTLP over HTTP. The only module that knows the OpenTelemetry SDK, an optional extra."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.settings import TracingSettings
from gateway.tracing import Span

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SCOPE = InstrumentationScope("lakegate")


@asynccontextmanager
async def exporting(settings: TracingSettings, instance: str) -> AsyncIterator[Callable[[Span], None]]:
    """Send spans from a thread while the context lasts; yield what takes them.

    It keeps nobody waiting: where the collector is away or too slow, ``queue_spans`` wait and others are dropped.
    What waits at the end is sent before it is over, within ``timeout_seconds``.
    """
    exporter = OTLPSpanExporter(
        endpoint=settings.endpoint,
        headers={name: secret.reveal() for name, secret in settings.headers.items()},
        timeout=settings.timeout_seconds,
    )
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=settings.queue_spans,
        max_export_batch_size=min(512, settings.queue_spans),
        schedule_delay_millis=settings.every_seconds * 1e3,
        export_timeout_millis=settings.timeout_seconds * 1e3,
    )
    resource = Resource({"service.name": settings.service, "service.instance.id": instance})
    try:
        yield lambda span: processor.on_end(_readable(span, resource))
    finally:
        await asyncio.to_thread(processor.shutdown)


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    known = span.known
    return ReadableSpan(
        name=span.name,
        context=_context(known.trace_id, known.span_id, remote=False),
        parent=_context(known.trace_id, known.parent_id, remote=span.kind == "server") if known.parent_id else None,
        resource=resource,
        attributes=span.attributes,
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR) if span.failed else Status(),
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
    return SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=remote,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
