"""A receiver of OpenTelemetry's spans over HTTP, and what tests ask of the spans it got."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_servers import serving

Span = dict[str, Any]


class Received:
    """Every span so far, with the attributes of its resource under `resource`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []

    def named(self, name: str) -> list[Span]:
        """The spans of this name."""
        return [span for span in self.spans if span["name"] == name]

    def below(self, parent: Span) -> set[str]:
        """The names of the spans right below this one."""
        return {span["name"] for span in self.spans if span["parent"] == parent["id"]}

    def take(self, body: bytes) -> None:
        """Add the spans of one request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            of_resource = _attributes(resource.resource.attributes)
            for span in (one for scope in resource.scope_spans for one in scope.spans):
                self.spans.append(
                    {
                        "name": span.name,
                        "id": span.span_id.hex(),
                        "trace": span.trace_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "kind": span.kind,
                        "failed": span.status.code == span.status.STATUS_CODE_ERROR,
                        "links": [link.span_id.hex() for link in span.links],
                        "resource": of_resource,
                        **_attributes(span.attributes),
                    }
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return list(map(_value, value.array_value.values))
    return getattr(value, kind)


@contextmanager
def receiver() -> Iterator[Received]:
    """A receiver on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.headers.append({name.lower(): text for name, text in self.headers.items()})
            received.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(server.server_address[1])
    with serving(server):
        yield received
