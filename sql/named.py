"""Named queries: every statement of the project stands in `sql/queries/*.sql`, under a name.

A file holds blocks that start with a line `-- name: some_name`; comment lines below it say what
the query returns. `load("sessions")["start"]` is one block, as psycopg takes it. The blocks of
`stream.sql` are templates: `load_for(METER)["upsert_live"]` is one of them for one stream.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from psycopg import sql

from schemas.streams.stream import TIMESTAMP, Stream

QUERIES_DIRECTORY = Path(__file__).parent / "queries"
STREAM_TEMPLATE = "stream"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

Statements = dict[str, sql.SQL]


@cache
def load(file: str) -> Statements:
    """All queries of `queries/<file>.sql`, by name. Raises ValueError when a name stands twice."""
    return {name: sql.SQL(text) for name, text in _blocks(file).items()}


@cache
def load_for(stream: Stream) -> Statements:
    """All queries of `queries/stream.sql`, for the tables and columns of one stream."""
    words = _words(stream)
    return {name: sql.SQL(text.format(**words)) for name, text in _blocks(STREAM_TEMPLATE).items()}


def _blocks(file: str) -> dict[str, str]:
    _, *blocks = _NAME.split((QUERIES_DIRECTORY / f"{file}.sql").read_text())
    names, texts = blocks[::2], blocks[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{file}.sql: a query name stands twice")
    return {name: text.strip() for name, text in zip(names, texts, strict=True)}


def _words(stream: Stream) -> dict[str, str]:
    """What stands for each placeholder of the template."""
    values = [field.column for field in stream.row_fields]
    changing = [column for column in stream.row_columns if column != stream.id_column]
    names = {field.column: field.name for field in stream.fields}
    sent = {stream.id_column: stream.id_field, **names, TIMESTAMP: TIMESTAMP}
    return {
        "history": _quoted(stream.history_table),
        "live": _quoted(stream.live_table),
        "staged": _quoted(f"staged_{stream.name}"),
        "newest": _quoted(f"newest_{stream.name}"),
        "id": _quoted(stream.id_column),
        "columns": _listed(stream.row_columns, _quoted),
        "definitions": ",\n    ".join(_definitions(stream)),
        "values": _listed(values, _quoted),
        "stored_values": _listed(values, lambda column: f"stored.{_quoted(column)}"),
        "staged_values": _listed(values, lambda column: f"staged.{_quoted(column)}"),
        "changes": _listed(changing, lambda column: "{0} = EXCLUDED.{0}".format(_quoted(column))),
        "sent": _listed(sent, lambda column: f"{_quoted(column)} AS {_quoted(sent[column])}"),
        "registered": _registered(stream),
    }


def _definitions(stream: Stream) -> Iterable[str]:
    """The columns of a table of rows."""
    optional = {field.column for field in stream.fields if not field.required}
    types: dict[str, str] = {field.column: field.type for field in stream.fields}
    types |= {TIMESTAMP: "timestamptz", stream.id_column: 'text COLLATE "C"'}
    for column in stream.row_columns:
        null = "" if column in optional else " NOT NULL"
        yield f"{_quoted(column)} {types[column]}{null}"


def _registered(stream: Stream) -> str:
    """Whether the device `id` is registered."""
    if stream.devices_table is None:
        return "false"
    table = _quoted(stream.devices_table)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {_quoted(stream.id_column)} = %(id)s)"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def _listed(columns: Iterable[str], shown: Callable[[str], str]) -> str:
    return ", ".join(map(shown, columns))
