"""Even one reading, on one node, is committed there only as the coordinator commits its books.

Citus does so when several nodes are written to, or by COPY or INSERT ... SELECT. A single INSERT
... VALUES it commits on the node first: killed right then, history has what the books have not.
"""

from collections.abc import Callable
from typing import Any

import pytest

from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.writers import write_any, write_new, write_piecewise
from schemas.streams import METER
from schemas.streams.times import DAY_US, to_micros
from sql import store
from sql.connect import Connection
from tests.connections import connect
from tests.sinks import NOW

Write = Callable[[Connection, list[Any]], None]
DAY = to_micros(NOW) // DAY_US


def new(connection: Connection, rows: list[Any]) -> None:
    partitions = store.find_days(connection, METER, [DAY])
    write_new(connection, METER, rows, NewestKnown(), partitions=partitions)


def any_(connection: Connection, rows: list[Any]) -> None:
    write_any(connection, METER, rows, NewestKnown())


def piecewise(connection: Connection, rows: list[Any]) -> None:
    write_piecewise(connection, METER, rows, NewestKnown())


def alone(connection: Connection, rows: list[Any]) -> None:
    connection.execute(
        'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage, meter_id)'
        " VALUES (%s, from_micros(%s), %s, %s)",
        rows[0],
    )


def prepares(environment: dict[str, str], write: Write) -> bool:
    """Whether the node prepares what this writes, before it commits."""
    said: list[str] = []
    with connect(environment) as connection:
        store.prepare(connection)
        store.create_days(connection, METER, [DAY])
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        connection.execute("SET citus.log_remote_commands = on")
        with connection.transaction():
            write(connection, [(1.5, to_micros(NOW), 230.0, write.__name__)])
    assert any("INSERT INTO" in text or "COPY" in text for text in said)
    return any("PREPARE TRANSACTION" in text for text in said)


@pytest.mark.parametrize("write", [new, any_, piecewise])
def test_one_reading_is_prepared_on_its_node(environment: dict[str, str], write: Write) -> None:
    assert prepares(environment, write)


def test_a_row_by_itself_would_not_be(environment: dict[str, str]) -> None:
    assert not prepares(environment, alone)
