"""Log lines: a date with its zone, levels, and fields beside the prose."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ingest_worker.errors import FencedError
from ingest_worker.health import Status
from reporting.logs import REQUEST, configure_logging
from reporting.waiting import Waiting

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) +\[\d+\] ([\w.]+): (.*)")
log = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as it was, for the tests that follow."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_of_text_says_when_how_bad_and_who(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text")
    log.warning("something about %s", "me", extra={"topic": "T"})
    found = LINE.fullmatch(capsys.readouterr().err.rstrip())
    assert found and found.groups() == ("WARNING", "tests.logs", "something about me")


def test_a_line_of_json_has_what_a_program_looks_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    log.warning("x", extra={"topic": "T", "partition": 3, "offset": 7, "day": None, "pid": 1})
    (line,) = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert (line["topic"], line["partition"], line["offset"]) == ("T", 3, 7)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "tests.logs", "x")
    assert line["pid"] > 1
    assert set(line) == {
        "time", "level", "logger", "pid", "message", "topic", "partition", "offset"
    }  # fmt: skip


def test_what_is_written_for_a_request_has_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    reset = REQUEST.set("order-66")
    for form in ("text", "json"):
        configure_logging(form)
        log.warning("x")
    REQUEST.reset(reset)
    text, as_json = capsys.readouterr().err.splitlines()
    assert text.endswith(" tests.logs: x (request order-66)")
    assert json.loads(as_json)["request"] == "order-66"


def test_errors_of_postgresql_bring_their_sqlstate(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    error = psycopg.errors.DiskFull("no space left")
    Waiting({}).missing("database", error)
    Status().waits("T-0", "stopped at 5", topic="T", partition=0, offset=5)
    try:
        raise error
    except psycopg.Error:
        log.exception("failed")
    waiting, stopped, failed = lines(capsys)
    assert (waiting["subject"], waiting["reason"]) == ("database", "no space left")
    assert [line.get("sqlstate") for line in (waiting, stopped, failed)] == ["53100", None, "53100"]
    assert (stopped["topic"], stopped["partition"], stopped["offset"]) == ("T", 0, 5)
    assert "Traceback" in failed["exception"]


def test_a_line_is_never_lost_to_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    error = FencedError("T-0 is at 5\n", topic="T", weird={1, 2}, id="\udcff€")
    log.warning("%s", error, extra=error.fields)
    (line,) = lines(capsys)
    assert (line["topic"], line["weird"], line["id"]) == ("T", "{1, 2}", "\udcff€")


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_honoured(
    capsys: pytest.CaptureFixture[str], level: str, seen: list[str]
) -> None:
    configure_logging("json", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("x")
    assert [line["level"] for line in lines(capsys)] == seen


def test_libraries_are_heard_only_when_something_unforeseen_befell_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    library = logging.getLogger("aiokafka.conn")
    configure_logging("json")
    library.error("Unable connect")
    try:
        raise LookupError("a bug")
    except LookupError:
        library.exception("Unexpected")
    configure_logging("json", "debug")
    library.error("Unable connect again")
    assert [line["message"] for line in lines(capsys)] == ["Unexpected", "Unable connect again"]


def test_a_worker_that_stops_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    status = Status()
    status.works("start")
    assert status.ready()[0]
    status.stops()
    status.works("database")
    assert status.ready() == (False, {"reasons": {"stop": "stopping"}})
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
