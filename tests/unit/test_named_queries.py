"""Statements as they are loaded: blocks of files, fragments, and templates filled for a stream."""

import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.streams import METER, STREAMS
from schemas.streams.stream import Field, Stream
from sql import named

FILES = sorted(path.stem for path in named.QUERIES_DIRECTORY.glob("*.sql"))
CHARGER = Stream(
    name="charger",
    plural="chargers",
    id_field="chargerId",
    id_column="charger_id",
    id_example="CHG-001",
    fields=(
        Field(
            name="order",
            column="order",
            type="float8",
            unit="kW",
            minimum=0,
            example=1,
        ),
        Field(
            name="cableTemp",
            column="cable_temp",
            type="float4",
            unit="C",
            minimum=0,
            example=1,
            required=False,
        ),
    ),
)
"""Unlike the others: a keyword as a column, an optional field, and nowhere to be registered."""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory in place of the queries'."""
    monkeypatch.setattr(named, "QUERIES_DIRECTORY", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (named.load, named.load_for, named._fragments):
        cached.cache_clear()


def written(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.sql").write_text(text)


def loaded(file: str) -> dict[str, str]:
    return {name: statement.as_string() for name, statement in named.load(file).items()}


@pytest.mark.parametrize("file", [file for file in FILES if file != named.STREAM_TEMPLATES])
def test_every_file_loads_and_leaves_no_include(file: str) -> None:
    assert not [text for text in loaded(file).values() if "-- include" in text]


@pytest.mark.parametrize("stream", [*STREAMS.values(), CHARGER], ids=lambda stream: stream.name)
def test_every_stream_has_all_statements(stream: Stream) -> None:
    statements = named.load_for(stream)
    assert set(statements) == set(named.load_for(METER))
    for name, statement in statements.items():
        left = {word for _, word, _, _ in string.Formatter().parse(statement.as_string()) if word}
        assert left == ({"day_partition"} if name == "copy_history" else set()), name


def test_every_word_for_braces_is_used() -> None:
    templates = [*named._blocks(named.STREAM_TEMPLATES, "name").values()]
    templates += named._fragments().values()
    used = {word for text in templates for _, word, _, _ in string.Formatter().parse(text)}
    assert set(named._words(METER)) <= used


def test_every_fragment_is_included() -> None:
    texts = [(named.QUERIES_DIRECTORY / f"{file}.sql").read_text() for file in FILES]
    included = {name for text in texts for _, name, _ in named._INCLUDE.findall(text)}
    assert included == set(named._fragments())


def test_gathered_statements_read_what_was_gathered() -> None:
    plain = named.load("analytics")["sums"].as_string()
    gathered = named.load("analytics", gathered=True)["sums"].as_string()
    for stream in STREAMS.values():
        assert stream.history_table in plain and f"gathered_{stream.name}" not in plain
        assert stream.history_table not in gathered and f"gathered_{stream.name}" in gathered


def test_the_hot_statements_of_meters() -> None:
    assert METER.row_columns[:3] == ("kwh_consumed_ac", "timestamp", "voltage")
    statements = {name: text.as_string() for name, text in named.load_for(METER).items()}
    columns = ", ".join(f'"{column}"' for column in METER.row_columns)
    changes = ", ".join(f'"{column}" = EXCLUDED."{column}"' for column in METER.row_columns[:-1])
    assert statements["copy_staged"] == 'COPY "staged_meter" FROM STDIN (FORMAT binary)'
    assert statements["copy_newest"] == 'COPY "newest_meter" FROM STDIN (FORMAT binary)'
    assert statements["copy_history"].endswith(
        f"COPY {{day_partition}} ({columns}) FROM STDIN (FORMAT binary)"
    )
    assert statements["insert_staged"].endswith(
        f'''
INSERT INTO "meter_telemetry_history" ({columns})
SELECT {columns}
FROM "staged_meter"
ORDER BY "meter_id", "timestamp", seq
ON CONFLICT DO NOTHING
RETURNING "meter_id", "timestamp"'''
    )
    assert statements["upsert_live"].endswith(
        f"""
WITH moved AS (
    INSERT INTO "meter_live_state" AS live ({columns})
    SELECT {columns}
    FROM "newest_meter"
    ON CONFLICT ("meter_id") DO UPDATE
    SET {changes}, updated_at = now(), newest_at = nullif(
        greatest(live.newest_at, live."timestamp", EXCLUDED."timestamp"), EXCLUDED."timestamp")
    WHERE live."timestamp" < EXCLUDED."timestamp"
        OR (live."timestamp" > now() AND EXCLUDED."timestamp" <= now())
    RETURNING newest_at
)
SELECT count(*) FROM moved WHERE newest_at IS NULL"""
    )


def test_a_stream_that_is_unlike_the_others() -> None:
    statements = {name: text.as_string() for name, text in named.load_for(CHARGER).items()}
    assert """    "order" float8 NOT NULL,
    "timestamp" timestamptz NOT NULL,
    "cable_temp" float4,
    "charger_id" text COLLATE "C" NOT NULL
""" in statements["create_staging"]
    assert 'SELECT "charger_id" AS "chargerId", "order" AS "order",' in statements["readings"]
    assert "SELECT false OR EXISTS" in statements["is_known"]


def test_a_fragment_stands_in_for_its_line_indented_as_that_was(directory: Path) -> None:
    written(
        directory,
        one="-- About it.\n\n-- name: first\nSELECT 1\n\n"
        "-- name: all\nSELECT\n    -- include: list\nFROM t\n",
        two="-- fragment: list\na,\nb\n\n-- name: other\n-- include: list\n",
    )
    assert loaded("one") == {"first": "SELECT 1", "all": "SELECT\n    a,\n    b\nFROM t"}
    assert loaded("two") == {"other": "a,\nb"}


def test_a_fragment_is_filled_for_the_stream_that_is_named(directory: Path) -> None:
    written(
        directory,
        one="-- fragment: newest\nSELECT max({energy}) FROM {live}\n\n"
        "-- name: both\n-- include: newest of meter\nUNION\n-- include: newest of vehicle\n",
    )
    assert loaded("one")["both"].splitlines() == [
        'SELECT max("kwh_consumed_ac") FROM "meter_live_state"',
        "UNION",
        'SELECT max("kwh_delivered_dc") FROM "vehicle_live_state"',
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n", "the name a"),
        ("-- name: a\n-- include: b\n", "no fragment b"),
        ("-- fragment: b\n1\n-- name: a\n-- include: b of nobody\n", "no stream nobody"),
        ("-- fragment: b\n{wrong}\n-- name: a\n-- include: b of meter\n", "'wrong' in braces"),
    ],
)
def test_a_file_that_makes_no_sense_is_not_loaded(
    directory: Path, text: str, complaint: str
) -> None:
    written(directory, one=text)
    with pytest.raises(ValueError, match=complaint):
        named.load("one")


def test_two_files_do_not_have_fragments_of_one_name(directory: Path) -> None:
    written(
        directory, one="-- fragment: b\n1\n-- name: a\n-- include: b\n", two="-- fragment: b\n2\n"
    )
    with pytest.raises(ValueError, match="the name b"):
        named.load("one")


def test_an_unknown_word_in_the_streams_templates_is_not_passed_over(directory: Path) -> None:
    written(directory, stream="-- name: a\nSELECT {wrong}\n")
    with pytest.raises(ValueError, match="'wrong' in braces"):
        named.load_for(METER)


def test_how_far_a_previous_reading_may_lie_stands_in_no_statement() -> None:
    texts = {path.stem: path.read_text() for path in named.QUERIES_DIRECTORY.glob("*.sql")}
    assert "%(reach)s" in texts["increments"]
    assert not [file for file, text in texts.items() if "31 day" in text]
