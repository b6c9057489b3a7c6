"""The duties of housekeeping: each is done by itself, and how it went is noted in the database.

There every worker sees it, whichever of them holds the lock.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import psycopg

from ingest_worker.errors import DutyFailedError
from schemas.text import one_line
from sql.connect import Connection
from sql.named import load

DAYS, IDLE_SESSIONS, ROLLUPS, RETENTION, PACKING = DUTIES = (
    "days",
    "idle_sessions",
    "rollups",
    "retention",
    "packing",
)
QUERIES = load("housekeeping")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


def perform(connection: Connection, duty: str, work: Callable[[], Result]) -> Result | None:
    """Do one duty and note how it went; None when it failed, which keeps no other from being done.

    Raises what the duty raised when the connection was lost, and the lock with it.
    """
    connection.execute(QUERIES["begin_duty"], {"duty": duty})
    result, why = None, None
    try:
        result = work()
    except (psycopg.Error, DutyFailedError) as error:
        if connection.closed:
            raise
        why = one_line(error)
    except Exception as error:  # a bug in one duty
        log.exception("housekeeping: %s failed", duty)
        why = f"{type(error).__name__}: {one_line(error)}"
    connection.execute(QUERIES["end_duty"], {"duty": duty, "why": why})
    return result
