"""The advisory locks of the project: each number stands here, so that no two mean the same."""

from typing import Any, Final

import psycopg

MIGRATION: Final = 7_226_001
"""Whoever holds it applies migrations; the others wait."""
HOUSEKEEPING: Final = 7_226_002
"""Whichever worker holds it does the housekeeping for all."""
REPLAY: Final = 7_226_003
"""One replay from Kafka at a time: they share a group's positions."""
CORRECTIONS: Final = 7_226_004
"""With the hash of a device beside it: one change of its corrections at a time."""
SESSION_EVENTS: Final = 7_226_005
"""Whoever holds it, until its transaction ends, makes sessions of events."""

ALERTS: Final = 7_226_006
"""Whichever process of the API holds it judges figures and opens alerts for all."""
ALERT_EVENTS: Final = 7_226_007
"""Whoever holds it, until its transaction ends, writes events of alerts, so in the order of
commits."""


def try_lock(connection: psycopg.Connection[Any], number: int) -> bool:
    """Take the lock for as long as the connection lives, unless another session has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()
    return row is not None and bool(row[0])
