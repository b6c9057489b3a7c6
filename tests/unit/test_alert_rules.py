"""Prometheus' rules: each does what it should and has its place in the runbook; what rules and
runbook name exists."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import promql_parser
import pytest
import yaml

from api.keys.options import add_keys
from api.metrics import Metrics
from ingest_worker import metrics
from ingest_worker.options import parser as worker_parser
from reporting.command import Parser
from tests.alertmanager import MISSING as WITHOUT_ALERTMANAGER
from tests.alertmanager import PACKAGE
from tests.debian import program
from tests.prometheus import MISSING, RULE_FILES

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
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
TICKED = re.compile(r"`([^`]+)`")
CALL = re.compile(r"(rate|changes|predict_linear)\(")
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


def test_alertmanagers_configuration_is_one_and_names_alerts_that_exist() -> None:
    file = PROMETHEUS / "alertmanager.yml"
    tool = program(PACKAGE, "amtool", missing=WITHOUT_ALERTMANAGER)
    done = subprocess.run(
        [tool, "check-config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = set(re.findall(r"\bEnergy\w+", file.read_text()))
    assert named
    assert named <= set(ALERTS)


def test_the_configurations_are_some_and_differ_in_what_prometheus_shows_of_itself() -> None:
    files = [PROMETHEUS / name for name in ("prometheus.yml", "prometheus.production.yml")]
    done = promtool("check", "config", str(files[0]))
    assert done.returncode == 0, done.stdout + done.stderr
    plain, production = (yaml.safe_load(file.read_text()) for file in files)
    shown = [job.pop("authorization", None) for job in production["scrape_configs"]]
    assert plain == production
    assert shown[:2] == [
        {"credentials_file": "/run/secrets/metrics_token"},
        {"credentials_file": "/run/secrets/metrics_key"},
    ]


def test_each_alert_has_its_place_in_the_runbook() -> None:
    assert list(ALERTS) == list(SECTIONS)
    for name, rule in ALERTS.items():
        notes = rule["annotations"]
        assert notes["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert notes["summary"]
        assert notes["description"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert [part for part in PARTS if f"**{part}**" not in SECTIONS[name]] == [], name


def labels_of_ours() -> dict[str, set[str]]:
    """Every name by which our metrics can be asked for, each with its labels."""
    kinds = prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram
    found: dict[str, set[str]] = {"energy_ingest_build_info": {"version"}}
    ours = Metrics()
    ours.show_certificate(lambda: 0.0)
    found["energy_api_certificate_expiry_timestamp_seconds"] = set()
    for metric in [*vars(metrics).values(), *vars(ours).values()]:
        if isinstance(metric, kinds):
            name, labels = next(iter(metric.describe())).name, {*metric._labelnames}
            ends = {
                prometheus_client.Counter: ("_total",),
                prometheus_client.Gauge: ("",),
                prometheus_client.Histogram: ("_bucket", "_sum", "_count"),
            }
            kind = next(kind for kind in ends if isinstance(metric, kind))
            found |= {name + end: labels for end in ends[kind]}
    return found


def asked(node: Any, grouped: frozenset[str] = frozenset()) -> list[tuple[str, set[str]]]:
    """The names of the series that are looked at, each with the labels that are made use of."""
    if isinstance(node, promql_parser.VectorSelector):
        return [(str(node.name), {one.name for one in node.matchers.matchers} | grouped)]
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
        grouped |= {*node.modifier.labels}
    parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    parts += getattr(node, "args", [])
    return [one for part in parts if part is not None for one in asked(part, grouped)]


def test_rules_make_use_of_labels_that_their_metrics_have() -> None:
    ours = labels_of_ours()
    looked_at = [one for rule in rules() for one in asked(promql_parser.parse(rule["expr"]))]
    assert len(looked_at) > len(ALERTS)
    for name, used in looked_at:
        if name.startswith(("energy_api", "energy_ingest")):
            assert used - {"job", "instance"} <= ours[name], name


def test_what_the_runbook_has_prometheus_asked_can_be_asked() -> None:
    expressions = [text for text in TICKED.findall(RUNBOOK) if CALL.match(text)]
    assert len(expressions) > 3
    for expression in expressions:
        promql_parser.parse(expression)


def test_what_rules_and_runbook_look_at_exists() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    text = RUNBOOK + "".join(str(rule["expr"]) for rule in rules())
    for name in recorded:
        assert name in str([rule["expr"] for rule in rules()]), f"nobody looks at {name}"
        text = text.replace(name, "")
    assert set(OF_OURS.findall(text)) - labels_of_ours().keys() == set()


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
