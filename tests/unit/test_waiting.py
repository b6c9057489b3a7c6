"""What a process waits for: its reasons, and one line of the log for each change."""

import logging

import pytest

from ingest_worker import metrics
from ingest_worker.health import Status
from reporting.waiting import Waiting


def test_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waiting = Waiting({"kafka": "not connected yet"})
    for _ in range(2):
        waiting.missing("kafka", OSError("refused\nby  all"))
    waiting.missing("kafka", "no topic")
    assert waiting.reasons == {"kafka": "no topic"}
    for _ in range(2):
        waiting.present("kafka")
    assert waiting.reasons == {}
    waiting.missing("kafka", "no topic")
    assert caplog.messages == [
        "not ready: kafka: refused by all",
        "not ready: kafka: no topic",
        "kafka: fine",
        "not ready: kafka: no topic",
    ]


def test_reasons_that_were_read_do_not_change() -> None:
    """The worker's probes read them in another thread."""
    waiting = Waiting({})
    waiting.missing("database", "refused")
    seen = waiting.reasons
    waiting.missing("kafka", "refused")
    waiting.present("database")
    assert seen == {"database": "refused"}


def test_a_worker_is_ready_once_it_waits_for_nothing() -> None:
    status = Status()
    assert status.ready() == (False, {"reasons": {"start": "starting"}})
    status.waits("database", "refused")
    status.works("start")
    assert (status.ready()[0], next(iter(metrics.READY.collect())).samples[0].value) == (False, 0)
    status.works("database")
    assert status.ready() == (True, {"reasons": {}})
    assert next(iter(metrics.READY.collect())).samples[0].value == 1
