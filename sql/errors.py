"""What this room raises beside psycopg's own errors.

    Exception
    ├── MigrationError              the database and the migrations cannot be brought together
    ├── GrantError                  a role cannot be given rights of its own
    ├── DistributionError           the tables cannot be spread over nodes, or moved among them
    ├── RowsRefusedError            PostgreSQL takes a statement, but not the readings it carries
    │   ├── RowsSwallowedError      it says nothing, but has not stored them either
    │   └── RowsInDoubtError        a node refuses something, which may be the readings
    ├── UnknownRejectedError        there is no rejected reading of that id
    └── psycopg.OperationalError
        ├── UnsuitableDatabaseError    server, database or pooler is none that we can work with
        ├── DaysUnavailableError       some days have no partition, and get none now
        ├── DayDetachedError           a partition was taken out of history meanwhile
        └── SessionsLockedError        somebody else has locked what session events are about

Only statements that carry readings raise RowsRefusedError. The same SQLSTATE out of a statement
that keeps the books is a psycopg.Error like an outage: no reading is rejected because of it.
"""

from collections.abc import Mapping, Sequence

import psycopg

from schemas.text import one_line

DATA_ERRORS = ("22", "23")
"""SQLSTATE classes of data exceptions and of violated constraints."""
RAISED = "P0001"
"""What a trigger raises when it names no SQLSTATE of its own."""
CHECK_VIOLATION = "23514"
INTERNAL_ERROR = "XX000"
"""What Citus makes of errors that a node reports of a COPY."""


class MigrationError(Exception):
    """The database and the files cannot be brought together; the text says why."""


class GrantError(Exception):
    """A role cannot be given rights of its own; the text says why."""


class DistributionError(Exception):
    """Tables cannot be spread over nodes, or moved among them; the text says why."""


class UnsuitableDatabaseError(psycopg.OperationalError):
    """Server, database or pooler cannot be used; the text says why, and what would do.

    A process that starts ends with it. One that runs already takes it for an outage.
    """


class DaysUnavailableError(psycopg.OperationalError):
    """Readings of some days cannot be stored now; those of all other days can."""

    def __init__(self, days: Mapping[str, Mapping[int, str]]) -> None:
        super().__init__("; ".join(why for each in days.values() for why in each.values()))
        self.days = days
        """By the stream's name: the days, counted from 2000-01-01, and why each is unavailable."""


class DayDetachedError(psycopg.OperationalError):
    """A day partition that was written to is none any more: nothing of the batch stays there."""


class SessionsLockedError(psycopg.errors.LockNotAvailable):
    """Sessions or devices that session events are about are locked for long by somebody else."""


class UnknownRejectedError(Exception):
    """There is no rejected reading of that id."""


class RowsRefusedError(Exception):
    """PostgreSQL refuses some of the rows it was given."""

    def __init__(self, error: object) -> None:
        """`error` is PostgreSQL's or psycopg's, or says itself what is the matter."""
        self.detail = _describe(error)
        """Its SQLSTATE, where it has one, and what it says, on one line."""
        super().__init__(self.detail)


class RowsSwallowedError(RowsRefusedError):
    """Rows were taken without an error, and yet are not in their table: a trigger or a rule."""

    def __init__(self, table: str, places: Sequence[int] = ()) -> None:
        """`places` are those of the rows in the sequence given, where they are known."""
        self.places = places
        super().__init__(f"{table} did not keep it: a trigger or a rule swallowed it")


class RowsInDoubtError(RowsRefusedError):
    """A node of a cluster has refused a statement that carries rows: because of them, or not."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(error)
        self.error = error


def _describe(error: object) -> str:
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return f"{error.sqlstate} {one_line(error.diag.message_primary)}"
    return one_line(error)


def is_data_error(sqlstate: str | None, constraint: str | None) -> bool:
    """Whether an error of a statement that carries rows is those rows' fault.

    A check violation without a constraint's name is a missing day partition, not the rows' fault.
    """
    if sqlstate == CHECK_VIOLATION and not constraint:
        return False
    return sqlstate is not None and (sqlstate[:2] in DATA_ERRORS or sqlstate == RAISED)


def may_be_data_error(sqlstate: str | None) -> bool:
    """Whether an error that came from one of Citus' nodes can be the fault of rows.

    It has lost the constraint's name, if not the SQLSTATE.
    """
    return sqlstate in (INTERNAL_ERROR, CHECK_VIOLATION)
