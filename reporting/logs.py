"""The log lines of every process: one line a record on stderr, as text or JSON.

A line of text is for people: time, level, process id, logger and message. A line of JSON has the
same, and beside its message whatever a program would look for in it, as fields: a call of the log
gives them by `extra`. docs/operations.md lists their names, so that one thing has one name.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

LIBRARIES = ("aiokafka", "opentelemetry", "psycopg.pool", "urllib3")
"""They log each attempt to reach what is away, as errors; reporting.waiting says the first of a
kind. Only what they did not foresee, which has a traceback, is an error for us."""
HTTP_CLIENTS = ("httpcore", "httpx")
"""They log each address they ask, which may be a secret: those lines are never written."""
REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is being answered; each line that is written meanwhile has it."""
_RECORD = {*vars(logging.makeLogRecord({})), "asctime", "color_message", "message", "taskName"}
"""What a record has beside the fields that a call of the log gives it."""


class _TextFormatter(logging.Formatter):
    """2026-11-26T21:52:26.123Z INFO    [1234] api: serving on ..."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s [%(process)d] %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        line = super().formatMessage(record)
        request = REQUEST.get()
        return f"{line} (request {request})" if request else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _RECORD}
        fields["request"] = REQUEST.get()
        if record.exc_info:
            fields.setdefault("sqlstate", getattr(record.exc_info[1], "sqlstate", None))
            fields["exception"] = self.formatException(record.exc_info)
        level = record.levelname.lower()
        return json_line(level, record.name, record.getMessage(), fields, record.created)


def json_line(
    level: str, logger: str, message: str, fields: Mapping[str, Any], created: float | None = None
) -> str:
    """One line of the log in JSON, in ASCII: no terminal and no lone surrogate can break it.

    `created` is the time in seconds since 1970, of now by default; fields that are None are left
    out.
    """
    at = datetime.fromtimestamp(time.time() if created is None else created, UTC)
    entry = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "logger": logger,
        "pid": os.getpid(),
        "message": message,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({**entry, **given, **entry}, default=str)


def as_json() -> bool:
    """Whether the environment asks for lines of JSON; known before the settings are read."""
    return os.environ.get("LOG_FORMAT") == "json"


def configure_logging(log_format: str, log_level: str = "info") -> None:
    """Send the root logger to stderr, as `text` or `json`, from `log_level` on.

    The libraries' own lines are seen with `debug` alone, unless something unforeseen befell them.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    for client in HTTP_CLIENTS:
        logging.getLogger(client).setLevel(logging.WARNING)
    if log_level != "debug":
        handler.addFilter(_ours_or_unforeseen)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _ours_or_unforeseen(record: logging.LogRecord) -> bool:
    return bool(record.exc_info) or not record.name.startswith(LIBRARIES)
