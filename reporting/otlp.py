"""Spans on their way to a receiver of OTLP, over HTTP: imported only when spans are asked for.

A span is put into a bounded queue that a thread of the SDK empties: a receiver that is away or slow
holds nothing up, and what does not fit is lost. What keeps it from taking them is said once.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import Thread
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from reporting.tracing import Attributes, Kind, Span
from reporting.tracing_settings import TracingSettings
from reporting.version import NAME, version
from reporting.waiting import Waiting
from schemas.settings import SettingsError
from schemas.text import one_line

END_WITHIN_S = 2.0
"""How long the end of a process waits for its last spans to be taken."""
SUBJECT = "traces"
OBJECT = re.compile(r"<[^<>]*>: ")
"""What changes with each try in an error of urllib3."""
W3C = TraceContextTextMapPropagator()
KINDS = {kind: SpanKind[kind.name] for kind in Kind}

log = logging.getLogger(__name__)


class _OpenSpan:
    """One span, which is the current one between its beginning and its end."""

    def __init__(self, tracer: Tracer, name: str, options: dict[str, Any]) -> None:
        self._tracer = tracer
        self._name = name
        self._options = options

    def __enter__(self) -> Self:
        self._span = self._tracer.start_span(self._name, **self._options)
        self._token = attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        detach(self._token)
        if error is not None:
            self.fail(type(error).__name__)
            if sqlstate := getattr(error, "sqlstate", None):
                self._span.set_attribute("db.response.status_code", sqlstate)
        self._span.end()

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes(dict(attributes))

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def fail(self, why: str) -> None:
        """Say that it failed, and how."""
        self._span.set_attribute("error.type", why)
        self._span.set_status(StatusCode.ERROR)


class _LastWords(logging.Handler):
    """Keeps what the exporter says last, which is why it failed."""

    def __init__(self) -> None:
        super().__init__()
        self.why = ""

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if record.levelno < logging.ERROR and arguments:  # of a try that is repeated
            self.why = OBJECT.sub("", one_line(arguments[0]))
        elif len(arguments) > 1 or not self.why:  # what has one only is that it gave up
            self.why = one_line(record.getMessage())


class _Reporting(SpanExporter):
    """Says each change of whether spans are taken, once."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._waiting = Waiting({}, what="degraded")
        self._words = _LastWords()
        logger = logging.getLogger(trace_exporter.__name__)
        logger.handlers, logger.propagate = [self._words], False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand spans over; those that are not taken are lost."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._words.why = ""
            self._waiting.present(SUBJECT)
        else:
            self._waiting.missing(SUBJECT, self._words.why or "not taken")
        return result

    def shutdown(self) -> None:
        """Give up what is being tried."""
        self._exporter.shutdown()


class OtlpSpans:
    """The spans of this process."""

    def __init__(self, settings: TracingSettings) -> None:
        """Raises SettingsError for what the SDK finds wrong in its variables."""
        for name in [name for name, value in os.environ.items() if not value.strip()]:
            if name.startswith("OTEL_"):
                del os.environ[name]  # the standard: as if it were not set
        ours = {"service.name": settings.service, "service.version": version()}
        resource = Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
        try:
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            exporter = _Reporting(OTLPSpanExporter(timeout=settings.timeout_s))
            self._processor = BatchSpanProcessor(exporter)
        except ValueError as error:
            raise SettingsError(one_line(error)) from None
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer(NAME, version())
        log.info("traces go to %s", settings.shown_endpoint)

    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        caller: Mapping[str, str],
        links: Iterable[str],
    ) -> AbstractContextManager[Span]:
        """A span as of entering it; a child of the one around it."""
        options: dict[str, Any] = {"kind": KINDS[kind], "attributes": dict(attributes)}
        if caller:
            options["context"] = W3C.extract(caller, Context())
        options["links"] = list(map(_link, links))
        return _OpenSpan(self._tracer, name, options)

    def traceparent(self) -> str | None:
        """The header that says which span is open, if somebody will see it."""
        headers: dict[str, str] = {}
        if trace.get_current_span().get_span_context().trace_flags.sampled:
            W3C.inject(headers)
        return headers.get("traceparent")

    def end(self) -> None:
        """Send what has not been sent; a receiver that does not answer gets END_WITHIN_S."""
        ending = Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(END_WITHIN_S)


def _link(traceparent: str) -> Link:
    context = W3C.extract({"traceparent": traceparent}, Context())
    return Link(trace.get_current_span(context).get_span_context())
