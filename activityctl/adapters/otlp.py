"""Exports spans by OTLP over HTTP, with OpenTelemetry's own SDK, which is loaded only here.

The SDK reads the variables `OTEL_*` by itself. It sends from a thread of its own: a span that
cannot be sent in time is dropped, and nothing waits for it.
"""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from activityctl.domain.runs.tracing import Span, SpanContext
from activityctl.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext as OtelContext

_LOG = logging.getLogger(__name__)
_FLUSH_MILLISECONDS: Final = 2_000
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class OtlpSpans:
    """Implements the SpanSink port."""

    is_open = True

    def __init__(self) -> None:
        """Raise ImportError if the SDK is not installed."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._resource = Resource.create({"service.version": VERSION}).merge(
            Resource.create({"service.name": "activityctl"})
        )
        self._scope = InstrumentationScope("activityctl", VERSION)
        self._processor: BatchSpanProcessor = BatchSpanProcessor(OTLPSpanExporter())
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)

    def add(self, span: Span) -> None:
        """Give the span to the SDK's queue; a full queue drops it."""
        try:
            self._add(span)
        except Exception:  # noqa: BLE001  # tracing must not fail a run
            _LOG.exception("a span is lost")

    def _add(self, span: Span) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        failed = span.error is not None
        status = Status(StatusCode.ERROR, span.error) if failed else Status(StatusCode.UNSET)
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(span.context),
                parent=None if span.parent is None else _context(span.parent),
                resource=self._resource,
                attributes=span.attributes,
                kind=SpanKind.CLIENT if span.kind == "client" else SpanKind.INTERNAL,
                status=status,
                start_time=_nanoseconds(span.began),
                end_time=_nanoseconds(span.ended),
                instrumentation_scope=self._scope,
            )
        )

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        import threading

        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_MILLISECONDS / 1000)


def _context(context: SpanContext) -> "OtelContext":
    from opentelemetry.trace import SpanContext as Found
    from opentelemetry.trace import TraceFlags

    ids = int(context.trace_id, 16), int(context.span_id, 16)
    return Found(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(moment: datetime) -> int:
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 10**9 + passed.microseconds * 1_000
