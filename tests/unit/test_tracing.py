"""Tracing that nobody asked for costs nothing; what is asked for is checked at start."""

import subprocess
import sys
from unittest.mock import Mock

import pytest

from ingest_worker.errors import FencedError, InDoubtError
from ingest_worker.write.spans import note_outcome
from reporting.tracing import NOTHING, Kind, span, traceparent
from reporting.tracing_settings import tracing_settings
from schemas.settings import SettingsError
from tests.workers import ROOT, command

ASKED = {"OTEL_TRACES_EXPORTER": "otlp"}
WITHOUT = """
import sys
import api.__main__, ingest_worker.__main__
from reporting.tracing import start_tracing
start_tracing("test")
print([name for name in sys.modules if name.startswith(("opentelemetry", "requests"))])
"""


def settings(environment: pytest.MonkeyPatch, **variables: str) -> object:
    for name, value in variables.items():
        environment.setenv(name, value)
    return tracing_settings("test")


@pytest.mark.parametrize("more", [{}, {"OTEL_SDK_DISABLED": "true", **ASKED}])
def test_processes_that_do_not_trace_import_nothing_for_it(more: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=more,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n", done.stdout


def test_a_span_that_nobody_sees_is_nothing() -> None:
    with span("flush", {"a": 1}, kind=Kind.SERVER, caller={"traceparent": "x"}) as nothing:
        assert nothing is NOTHING and traceparent() is None


@pytest.mark.parametrize(
    ("errors", "held_back", "outcome"),
    [
        ([], 0, "written"),
        ([], 1, "held_back"),
        ([FencedError("T-0 is at 5", topic="T")], 0, "fenced"),
        ([InDoubtError("dropped"), ValueError()], 1, "dropped"),
        ([ValueError()], 0, "failed"),
    ],
)
def test_a_flush_says_what_became_of_it(
    errors: list[Exception], held_back: int, outcome: str
) -> None:
    flush = Mock()
    note_outcome(flush, errors, held_back=held_back)
    flush.note.assert_called_once_with({"energy.flush.outcome": outcome})


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_EXPORTER": ""}, False),
        (ASKED, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        (ASKED | {"OTEL_SDK_DISABLED": "true"}, False),
        (ASKED | {"OTEL_SDK_DISABLED": "false", "OTEL_EXPORTER_OTLP_HEADERS": "a=b,c=d e"}, True),
    ],
)
def test_the_standards_variables_turn_it_on(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], on: bool
) -> None:
    assert (settings(monkeypatch, **variables) is not None) == on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_SDK_DISABLED", "maybe"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:port/v1/traces"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
    ],
)
def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    sampled = {"OTEL_TRACES_SAMPLER": "traceidratio"} if name.endswith("_ARG") else {}
    with pytest.raises(SettingsError, match=name):
        settings(monkeypatch, **ASKED | sampled | {name: value})


def test_bad_headers_are_named_without_the_secret_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(monkeypatch, **ASKED, OTEL_EXPORTER_OTLP_HEADERS="a=b,Bearer opensesame")
    assert str(refused.value).startswith("OTEL_EXPORTER_OTLP_HEADERS: entry 2 is not name=value")
    assert "opensesame" not in str(refused.value)


@pytest.mark.parametrize("process", ["api", "ingest_worker"])
def test_a_process_does_not_start_with_a_bad_value(process: str) -> None:
    done = command({"OTEL_TRACES_EXPORTER": "jaeger"}, process)
    assert (done.returncode, done.stderr) == (
        2,
        "error: OTEL_TRACES_EXPORTER='jaeger': may be otlp or none\n",
    )
