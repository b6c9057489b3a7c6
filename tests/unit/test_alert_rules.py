"""Prometheus' rules: each does what it should and has its place in the runbook; what rules and
runbook name exists."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

from api.keys.options import add_keys
from api.metrics import Metrics
from ingest_worker import metrics
from ingest_worker.options import parser as worker_parser
from reporting.command import Parser
from tests.debian import program
from tests.prometheus import MISSING

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
OF_OURS = re.compile(r"\benergy_(?:api|ingest)_\w+")
COMMAND = re.compile(r"python -m ((?:ingest_worker|api|sql) [^`\n]*)")
STAND_FOR = {
    ("api", "ID"): "abcdefghij27",
    ("ingest_worker", "ID"): "7",
    ("", "N"): "3",
    ("", "R"): "analyst",
    ("", "TIME"): "2026-01-31T12:00:00Z",
}
"""What the runbook writes where an operator puts something in."""
PARTS = ("Symptom", "First look", "Cure", "Verify")


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in RULE_FILES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    tool = program("prometheus", "promtool", missing=MISSING)
    return subprocess.run([tool, *words], capture_output=True, text=True, check=False)


def test_each_rule_fires_when_it_should_and_only_then() -> None:
    tests = sorted((PROMETHEUS / "tests").glob("*.yml"))
    done = promtool("test", "rules", *map(str, tests))
    assert done.returncode == 0, done.stdout + done.stderr
    tried = "".join(test.read_text() for test in tests)
    for name in ALERTS:
        found = re.findall(rf"alertname: {name}\b(.*)", tried)
        assert found, f"{name} is tried nowhere"
        fires = re.search(rf"alertname: {name}\n\s+exp_alerts:", tried)
        assert fires, f"{name} fires in no test"


def test_the_configuration_is_one() -> None:
    done = promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_place_in_the_runbook() -> None:
    assert list(ALERTS) == list(SECTIONS)
    for name, rule in ALERTS.items():
        notes = rule["annotations"]
        assert notes["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert notes["summary"]
        assert notes["description"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert [part for part in PARTS if f"**{part}**" not in SECTIONS[name]] == [], name


def names_of_ours() -> set[str]:
    """Every name by which our metrics can be asked for."""
    kinds = prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram
    names = {"energy_ingest_build_info", "energy_api_certificate_expiry_timestamp_seconds"}
    for metric in [*vars(metrics).values(), *vars(Metrics()).values()]:
        if isinstance(metric, kinds):
            name = next(iter(metric.describe())).name
            names |= {name, *(f"{name}_{end}" for end in ("total", "bucket", "sum", "count"))}
    return names


def test_what_rules_and_runbook_look_at_exists() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    text = RUNBOOK + "".join(str(rule["expr"]) for rule in rules())
    for name in recorded:
        assert name in str([rule["expr"] for rule in rules()]), f"nobody looks at {name}"
        text = text.replace(name, "")
    assert set(OF_OURS.findall(text)) - names_of_ours() <= {"energy_ingest_lag_records"}


def api_parser() -> Parser:
    parser = Parser(prog="python -m api")
    add_keys(parser)
    return parser


@pytest.mark.parametrize("command", sorted(set(COMMAND.findall(RUNBOOK))))
def test_a_command_of_the_runbook_is_one(command: str) -> None:
    room, *words = shlex.split(command)
    words = [STAND_FOR.get((room, word)) or STAND_FOR.get(("", word), word) for word in words]
    if room == "sql":
        assert words[0] in ("status", "grant")
        return
    parser = worker_parser() if room == "ingest_worker" else api_parser()
    parser.parse_args(words)
