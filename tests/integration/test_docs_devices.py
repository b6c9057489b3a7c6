"""docs/devices.md and corrections.md are true: requests are answered as they say."""

import json
import re
from pathlib import Path

import httpx
import pytest

from schemas.devices import Meter, Vehicle

DOCS = Path(__file__).parent.parent.parent / "docs"
TEXT = (DOCS / "devices.md").read_text()
REQUEST = re.compile(
    r"^    (POST|PATCH|GET|DELETE) (\S+)(?: ({.*}))? (\d{3})(?: ([{[].*[]}]))?$", re.MULTILINE
)
FIELD = re.compile(r"^\| `(\w+)` \| (both|meters|vehicles) \|", re.MULTILINE)


@pytest.mark.parametrize(("page", "count"), [("devices", 6), ("corrections", 10)])
def test_each_request_is_answered_as_shown(api: httpx.Client, page: str, count: int) -> None:
    text = (DOCS / f"{page}.md").read_text()
    requests = REQUEST.findall(text)
    assert len(requests) == len(re.findall(r"^    \S", text, re.MULTILINE)) == count
    made = ""
    for method, path, body, status, shown in requests:
        path = path.replace(":id", made)
        answer = api.request(method, path, json=json.loads(body) if body else None)
        assert answer.status_code == int(status), (path, answer.text)
        found = answer.json() if answer.content else None
        if isinstance(found, dict):
            made = found.get("correctionId", made)
            assert found.items() >= json.loads(shown or "{}").items(), path
        else:
            assert found == (json.loads(shown) if shown else None), path


def test_the_fields_are_those_of_devices() -> None:
    fields = {
        "meters": {field.alias for field in Meter.model_fields.values()},
        "vehicles": {field.alias for field in Vehicle.model_fields.values()},
    }
    named = FIELD.findall(TEXT)
    assert len(named) == 6
    for name, kind in named:
        having = [plural for plural, names in fields.items() if name in names]
        assert having == (list(fields) if kind == "both" else [kind]), name
