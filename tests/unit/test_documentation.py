"""The documents keep up with the code: settings, metrics and links."""

import ast
import re
from pathlib import Path

import prometheus_client
import pytest
from pydantic import SecretStr

from api.metrics import Metrics
from ingest_worker import metrics
from schemas.settings import Settings, secrets_of
from schemas.streams import STREAMS

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$", re.MULTILINE)
FIELD_ROW = re.compile(r"^\| `[a-z]\w*` \| .* \| .* \| .* \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def shown(default: object) -> str:
    """A default as the table shows it."""
    if default in (None, ""):
        return ""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{getattr(default, 'value', default)}`"


def settings_table() -> str:
    """The README's table of settings, as it has to be."""
    rows = []
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {shown(field.default)} | {field.description} |")
        if name in secrets_of(Settings):
            file = f"{name.upper()}_FILE"
            rows.append(f"| `{file}` |  | File that {name.upper()} is read from instead. |")
    return "\n".join(rows)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [row.group(0) for row in ROW.finditer(readme)] == settings_table().splitlines()


def test_the_readme_lists_every_field_of_a_reading_with_its_limits() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = [
        f"| `{field.name}` | {stream.name} | {field.limits} |"
        f" {'required' if field.required else 'may be missing or null'} |"
        for stream in STREAMS.values()
        for field in stream.fields
    ]
    assert FIELD_ROW.findall(readme) == rows


def test_every_metric_is_explained() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    names = {
        next(iter(metric.describe())).name
        for metric in [*vars(metrics).values(), *vars(Metrics()).values()]
        if isinstance(
            metric,
            prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram,
        )
    }
    assert len(names) > 20
    assert [name for name in sorted(names) if f"`{name}" not in text] == []


def given_to_the_log() -> set[str]:
    """The names of the fields that lines of the log have: what `extra` or `fields` is set to."""
    names: set[str] = set()
    for package in ("api", "brokers", "ingest_worker", "reporting", "sql"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text) if "\nlog = " in text else ast.Pass()):
                if isinstance(node, ast.keyword | ast.Assign | ast.AugAssign) and ast.unparse(
                    node
                ).startswith(("extra={", "fields = {", "fields |= {")):
                    constants = (one for one in ast.walk(node) if isinstance(one, ast.Dict))
                    keys = (key for one in constants for key in one.keys)
                    names |= {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return names


def test_every_field_of_the_log_is_explained() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    names = given_to_the_log()
    assert {"port", "task", "subject", "backends", "session"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in LINK.findall(page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", ["guarantees.md", "security.md"])
def test_every_test_that_stands_for_a_guarantee_is_there(page: str) -> None:
    named = TEST.findall((ROOT / "docs" / page).read_text())
    assert len(named) > 5
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"
