"""Only a statement that carries readings can reject readings.

The same SQLSTATE out of a statement that keeps the books is held like an outage: nothing is stored,
nothing is rejected, and the same parts are stored once PostgreSQL takes them.
"""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from ingest_worker.write.sink import Sink
from tests.sinks import parts
from tests.stored import Books, Rejected, books, history, reading, rejected

Database = psycopg.Connection[Any]

BOOKS = ("ingest_offsets", "rollup_log", "rejected_records")
RAISE = """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'not now'; END $$"""


def object_by_check(database: Database, table: str) -> tuple[str, str]:
    """A CHECK that no new row passes; returns its SQLSTATE and how it is taken back."""
    database.execute(f"ALTER TABLE {table} ADD CONSTRAINT operators CHECK (false) NOT VALID")
    return "23514", f"ALTER TABLE {table} DROP CONSTRAINT operators"


def object_by_trigger(database: Database, table: str) -> tuple[str, str]:
    """A trigger that raises without an SQLSTATE of its own."""
    database.execute(RAISE)
    database.execute(
        f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    return "P0001", f"DROP TRIGGER refuse ON {table}"


@pytest.mark.parametrize("table", BOOKS)
@pytest.mark.parametrize("object_to", [object_by_check, object_by_trigger])
def test_an_objection_to_the_books_is_an_outage(
    sink: Sink,
    database: Database,
    table: str,
    object_to: Callable[[Database, str], tuple[str, str]],
) -> None:
    flushed = parts(reading("A", 1), b"junk", reading("B", 1))
    sqlstate, take_back = object_to(database, table)
    for _ in range(2):
        with pytest.raises(psycopg.Error) as raised:
            sink.flush(flushed)
        assert raised.value.sqlstate == sqlstate
        assert books(database) == Books(0, read=0, stored=0, duplicate=0, rejected=0)
        assert history(database) == []
        assert rejected(database) == []
    database.execute(take_back)
    sink.flush(flushed)
    assert books(database) == Books(3, read=3, stored=2, duplicate=0, rejected=1)
    assert [row.device for row in history(database)] == ["A", "B"]
    assert rejected(database) == [Rejected(1, None, "malformed", b"junk")]


def test_a_deferred_trigger_on_history_refuses_exactly_its_row(
    sink: Sink, database: Database
) -> None:
    database.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.meter_id = 'M3' THEN RAISE EXCEPTION 'not this one'; END IF;
            RETURN NULL;
        END $$"""
    )
    database.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON meter_telemetry_history"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    readings = [reading(f"M{number}", 1) for number in range(5)]
    sink.flush(parts(*readings))
    assert books(database) == Books(5, read=5, stored=4, duplicate=0, rejected=1)
    assert [row.device for row in history(database)] == ["M0", "M1", "M2", "M4"]
    assert rejected(database) == [Rejected(3, 0, "refused", readings[3])]
