"""Spans of what a process does, for OpenTelemetry: one a flush or a request, and a few below it.

They are off unless the standard's own variables ask for them. Then nothing of OpenTelemetry is
imported, and a span is one object that does nothing, the same for all. `reporting.otlp` has what is
imported when they are on, `reporting.tracing_settings` what the variables say.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from functools import wraps
from types import TracebackType
from typing import ParamSpec, Protocol, Self, TypeVar

from reporting.tracing_settings import TracingSettings, tracing_settings

Value = str | int | float | bool | list[str]
Attributes = Mapping[str, Value]
Parameters = ParamSpec("Parameters")
AResult = TypeVar("AResult")


class Kind(Enum):
    """What a span is to other processes."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """What is open between the beginning and the end of something."""

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""

    def rename(self, name: str) -> None:
        """Give it another name: what it is may show only later."""

    def fail(self, why: str) -> None:
        """Say that it failed, and how."""


class Spans(Protocol):
    """Where spans go."""

    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        caller: Mapping[str, str],
        links: Iterable[str],
    ) -> AbstractContextManager[Span]:
        """A span as of entering it; a child of the one around it."""

    def traceparent(self) -> str | None:
        """The header that says which span is open, if somebody will see it."""

    def end(self) -> None:
        """Send what has not been sent, within a bound."""


class _Nothing:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def note(self, attributes: Attributes) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, why: str) -> None:
        pass


NOTHING = _Nothing()
"""The span of a process that traces nothing."""
_spans: Spans | None = None


def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: Kind = Kind.INTERNAL,
    caller: Mapping[str, str] | None = None,
    links: Iterable[str] = (),
) -> AbstractContextManager[Span]:
    """A span around what the `with` holds; an error that leaves it is noted by its type alone.

    `caller` holds the headers that may name a span elsewhere as its parent, `links` the traceparent
    headers of others that led to it.
    """
    if _spans is None:
        return NOTHING
    return _spans.span(name, kind, attributes or {}, caller or {}, links)


def traced(name: str) -> Callable[[Callable[Parameters, AResult]], Callable[Parameters, AResult]]:
    """A decorator: each call has a span."""

    def around(function: Callable[Parameters, AResult]) -> Callable[Parameters, AResult]:
        @wraps(function)
        def call(*arguments: Parameters.args, **more: Parameters.kwargs) -> AResult:
            with span(name):
                return function(*arguments, **more)

        return call

    return around


def is_on() -> bool:
    """Whether anything is traced: only then is it worth to gather attributes."""
    return _spans is not None


def traceparent() -> str | None:
    """The traceparent header of the open span, for whoever goes on with it; None = nobody looks."""
    return _spans.traceparent() if _spans else None


def start_tracing(service: str) -> None:
    """Begin to trace if the environment asks for it. Raises SettingsError for a bad variable."""
    settings = tracing_settings(service)
    if settings:
        _start(settings)


def _start(settings: TracingSettings) -> None:
    global _spans  # noqa: PLW0603 - a process traces or it does not
    from reporting.otlp import OtlpSpans

    _spans = OtlpSpans(settings)


def stop_tracing() -> None:
    """Send what is left, within a bound; what follows is not traced."""
    global _spans
    spans, _spans = _spans, None
    if spans:
        spans.end()
