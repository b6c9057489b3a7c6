"""docs/devices.md is true: requests are answered as it says, its fields are there."""

import json
import re
from pathlib import Path

import httpx

from schemas.devices import Meter, Vehicle

TEXT = (Path(__file__).parent.parent.parent / "docs" / "devices.md").read_text()
REQUEST = re.compile(r"^    (POST|PATCH) (\S+) ({.*}) (\d{3}) ({.*})$", re.MULTILINE)
FIELD = re.compile(r"^\| `(\w+)` \| (both|meters|vehicles) \|", re.MULTILINE)


def test_each_request_is_answered_as_shown(api: httpx.Client) -> None:
    requests = REQUEST.findall(TEXT)
    assert len(requests) == len(re.findall(r"^    \S", TEXT, re.MULTILINE)) == 6
    for method, path, body, status, shown in requests:
        answer = api.request(method, path, json=json.loads(body))
        assert answer.status_code == int(status), (path, answer.text)
        assert answer.json().items() >= json.loads(shown).items(), path


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
