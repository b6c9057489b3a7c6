"""What of a duty could not be done: each piece fails by itself, and the others are done."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ingest_worker.errors import DutyFailedError
from schemas.text import one_line
from sql.connect import Connection

SHOWN = 5


class Problems:
    """Collects the errors of one duty's pieces."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found: list[str] = []

    @contextmanager
    def of(self, piece: str) -> Iterator[None]:
        """Around the work on one piece: its error is kept, unless the connection is gone."""
        try:
            yield
        except psycopg.Error as error:
            if self._connection.closed:
                raise
            self.add(f"{piece}: {error.sqlstate or type(error).__name__}: {one_line(error)}")

    def add(self, problem: str) -> None:
        """Note what somebody should look after."""
        self._found.append(problem)

    def raise_any(self) -> None:
        """Raise DutyFailedError when there was a problem; it names the first few."""
        if self._found:
            more = len(self._found) - SHOWN
            rest = [f"and {more} more"] if more > 0 else []
            raise DutyFailedError("; ".join(self._found[:SHOWN] + rest))
