"""Named queries: every statement of the project stands in `sql/queries/*.sql`, under a name.

A file holds blocks, and each block starts with a line that says what it is:

    -- name: start            a statement: `load("sessions")["start"]`, as psycopg takes it
    -- fragment: columns      a piece of statements, of this file or of others; its name is unique

Comments below that line say what a statement returns. In a statement, a line `-- include: columns`
stands for a fragment; `-- include: increases of meter` for one with words in braces, which are
filled with the tables and columns of a stream; fragments may include others, `of {name}` those of
the same stream. `stream.sql` is filled so as a whole: `load_for(METER)["readings"]` is one of its
statements, for meters.

Statements can also be had as `gathered`: then they read what was gathered from the nodes of a Citus
cluster, instead of the histories (`sql/gathered.py`).
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from psycopg import sql

from schemas.streams import STREAMS
from schemas.streams.stream import ENERGY, TIMESTAMP, Stream

QUERIES_DIRECTORY = Path(__file__).parent / "queries"
STREAM_TEMPLATES = "stream"
_HEADING = re.compile(r"^-- (name|fragment): (\w+)\n", re.MULTILINE)
_INCLUDE = re.compile(r"^( *)-- include: (\w+)(?: of (\w+|{name}))?$", re.MULTILINE)

Texts = dict[str, str]
Statements = dict[str, sql.SQL]
_names: dict[int, str] = {}
"""By the identity of a statement, which stays as long as the process does."""


@cache
def load(file: str, *, gathered: bool = False) -> Statements:
    """All statements of `queries/<file>.sql`, by name.

    Raises ValueError when a name stands twice, or when a fragment, a stream or what stands in a
    fragment's braces is unknown.
    """
    texts = {name: _with_fragments(text) for name, text in _blocks(file, "name").items()}
    if gathered:
        texts = {name: _of_gathered(text) for name, text in texts.items()}
    return _noted(file, {name: sql.SQL(text) for name, text in texts.items()})


@cache
def load_for(stream: Stream) -> Statements:
    """All statements of `queries/stream.sql`, for the tables and columns of one stream.

    Raises ValueError when a name stands twice, or when what stands in braces is unknown.
    """
    templates = _blocks(STREAM_TEMPLATES, "name")
    return _noted(
        stream.name, {name: sql.SQL(_filled(text, stream)) for name, text in templates.items()}
    )


def name_of(statement: object) -> str | None:
    """The name of a statement that was loaded, such as `sessions.start`; None of any other."""
    return _names.get(id(statement))


def _noted(file: str, statements: Statements) -> Statements:
    _names.update({id(statement): f"{file}.{name}" for name, statement in statements.items()})
    return statements


def _blocks(file: str, kind: str) -> Texts:
    """The texts of a file's blocks of one kind, by name."""
    _, *parts = _HEADING.split((QUERIES_DIRECTORY / f"{file}.sql").read_text())
    blocks: Texts = {}
    for block_kind, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if block_kind == kind:
            _add(blocks, name, text.strip())
    return blocks


@cache
def _fragments() -> Texts:
    """The fragments of all files, by name."""
    fragments: Texts = {}
    for path in sorted(QUERIES_DIRECTORY.glob("*.sql")):
        for name, text in _blocks(path.stem, "fragment").items():
            _add(fragments, name, text)
    return fragments


def _add(blocks: Texts, name: str, text: str) -> None:
    if name in blocks:
        raise ValueError(f"two statements or fragments have the name {name}")
    blocks[name] = text


def _with_fragments(text: str) -> str:
    """The text with its include lines replaced; a fragment is indented as the line was."""
    return _INCLUDE.sub(_included, text)


def _included(line: re.Match[str]) -> str:
    indent, name, stream = line.groups()
    fragment = _fragments().get(name)
    if fragment is None:
        raise ValueError(f"there is no fragment {name}")
    if stream is not None:
        if stream not in STREAMS:
            raise ValueError(f"there is no stream {stream}")
        fragment = _filled(fragment, STREAMS[stream])
    return indent + _with_fragments(fragment).replace("\n", f"\n{indent}")


def _of_gathered(text: str) -> str:
    """The same statement, of the readings that were gathered."""
    for stream in STREAMS.values():
        text = re.sub(rf"\b{stream.history_table}\b", _gathered(stream), text)
    return text


def _gathered(stream: Stream) -> str:
    return f"gathered_{stream.name}"


def _filled(template: str, stream: Stream) -> str:
    """The template with the stream's tables and columns in its braces."""
    try:
        return template.format(**_words(stream))
    except KeyError as error:
        raise ValueError(f"{error} in braces is nothing that a stream has") from None


def _words(stream: Stream) -> Texts:
    """What each word in braces stands for. Names are quoted, lists have commas."""
    row_columns = [_quoted(column) for column in stream.row_columns]
    values = [_quoted(field.column) for field in stream.row_fields]
    changing = [column for column in row_columns if column != _quoted(stream.id_column)]
    words = {
        "name": stream.name,
        "history": _quoted(stream.history_table),
        "live": _quoted(stream.live_table),
        "gathered": _quoted(_gathered(stream)),
        "staged": _quoted(f"staged_{stream.name}"),
        "newest": _quoted(f"newest_{stream.name}"),
        "id": _quoted(stream.id_column),
        "energy": values[ENERGY],
        "columns": ", ".join(row_columns),
        "texts": ", ".join(f"{column}::text" for column in row_columns),
        "literals": ", ".join(f"%{place}$L" for place, _ in enumerate(row_columns, 1)),
        "definitions": ",\n    ".join(_definitions(stream)),
        "values": ", ".join(values),
        "stored_values": ", ".join(f"stored.{value}" for value in values),
        "staged_values": ", ".join(f"staged.{value}" for value in values),
        "changes": ", ".join(f"{column} = EXCLUDED.{column}" for column in changing),
        "sent": ", ".join(_as_sent(stream)),
        "registered": _registered(stream),
    }
    if stream.devices_table is not None:
        words["devices"] = _quoted(stream.devices_table)
    return words


def _definitions(stream: Stream) -> Iterable[str]:
    """The columns of a table of rows, with their types."""
    nullable = {field.column for field in stream.fields if field.nullable}
    types: Texts = {field.column: field.type for field in stream.fields}
    types |= {TIMESTAMP: "timestamptz", stream.id_column: 'text COLLATE "C"'}
    for column in stream.row_columns:
        null = "" if column in nullable else " NOT NULL"
        yield f"{_quoted(column)} {types[column]}{null}"


def _as_sent(stream: Stream) -> Iterable[str]:
    """The columns by the names and in the order of a reading as it is sent."""
    columns = (stream.id_column, *(field.column for field in stream.fields), TIMESTAMP)
    for column, name in zip(columns, stream.json_names, strict=True):
        yield f"{_quoted(column)} AS {_quoted(name)}"


def _registered(stream: Stream) -> str:
    """Whether the device `id` is registered."""
    if stream.devices_table is None:
        return "false"
    table = _quoted(stream.devices_table)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {_quoted(stream.id_column)} = %(id)s)"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
