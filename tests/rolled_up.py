"""The fleet's answer over HTTP, which comes from the rollups, against the reference."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

from tests import reference
from tests.agreement import agree
from tests.readings import iso
from tests.reference import Figures, ReferenceFleet

MOST_VEHICLES = 1_000
COUNTS = {
    "low_efficiency": "lowEfficiency",
    "impossible_efficiency": "impossibleEfficiency",
    "implausible_energy": "implausibleEnergy",
}


def fleet_answer(api: httpx.Client, start: datetime, end: datetime, **query: Any) -> dict[str, Any]:
    """Of whole hours."""
    window: dict[str, Any] = {"startTime": iso(start), "endTime": iso(end), "limit": MOST_VEHICLES}
    answer = api.get("/v1/analytics/fleet", params=window | query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def of_vehicle(found: Figures) -> dict[str, Any]:
    """What the answer says of one."""
    return {
        "metrics": found.metrics(),
        "coverage": found.coverage(),
        "alerts": found.alerts(),
    }


def vehicles_agree(answer: dict[str, Any], fleet: ReferenceFleet, prefix: str) -> None:
    """The vehicles of this fleet are as the reference says, and no other of that prefix is there.

    One of which nothing is known in the window may be left out.
    """
    start, end = (datetime.fromisoformat(answer["period"][name]) for name in ("start", "end"))
    found = {v["vehicleId"]: v for v in answer["vehicles"] if v["vehicleId"].startswith(prefix)}
    for name, figures in reference.vehicles(fleet, start, end).items():
        if (share := found.pop(prefix + name, None)) is not None:
            agree(share, of_vehicle(figures), prefix + name)
        else:
            assert figures == reference.only_bad(figures), prefix + name
    assert not found


def totals_agree(answer: dict[str, Any], fleets: Sequence[ReferenceFleet]) -> None:
    """The sums and the counts are those of these fleets together."""
    start, end = (datetime.fromisoformat(answer["period"][name]) for name in ("start", "end"))
    known = [reference.vehicles(fleet, start, end) for fleet in fleets]
    whole = reference.together(reference.of_all(fleet, start, end) for fleet in fleets)
    agree(answer, of_vehicle(whole), "fleet")
    raised = [a for vehicles in known for found in vehicles.values() for a in found.alerts()]
    for code, name in COUNTS.items():
        certain = [alert["certain"] for alert in raised if alert["code"] == code]
        assert answer["alertCounts"][name] == len(certain), code
        assert answer["certainAlertCounts"][name] == sum(certain), code
