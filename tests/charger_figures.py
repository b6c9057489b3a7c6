"""The answers about chargers, and about stretches of time, against the reference."""

from datetime import datetime, timedelta
from typing import Any

import httpx

from tests import reference
from tests.agreement import agree
from tests.readings import iso
from tests.reference import Figures, ReferenceFleet

Times = tuple[datetime, datetime]
CODES = ("low_efficiency", "impossible_efficiency", "implausible_energy")


def get(api: httpx.Client, path: str, window: Times, **query: Any) -> dict[str, Any]:
    """What /v1/analytics says of the window."""
    asked: dict[str, Any] = {"startTime": iso(window[0]), "endTime": iso(window[1])}
    answer = api.get(f"/v1/analytics/{path}", params=asked | query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def times(group: dict[str, Any]) -> Times:
    """When a group, or a period, starts and ends."""
    return datetime.fromisoformat(group["start"]), datetime.fromisoformat(group["end"])


def of_charger(found: Figures, vehicles: int) -> dict[str, Any]:
    """What an answer says of its sums."""
    beside = ("averageBatteryTemp", "readingCount")
    metrics = {name: value for name, value in found.metrics().items() if name not in beside}
    coverage = found.coverage()
    del coverage["dcEnergyOutsideSessions"]
    return {
        "metrics": metrics | {"vehicles": vehicles},
        "coverage": coverage,
        "alerts": found.alerts(),
    }


def whole_charger(fleet: ReferenceFleet, meter: str, window: Times) -> dict[str, Any]:
    """The same of all vehicles on it."""
    cars = reference.on_charger(fleet, meter, *window)
    met = sum(one.sessions > 0 for one in cars.values())
    return of_charger(reference.of_charger(fleet, meter, *window), met)


def chargers_agree(answer: dict[str, Any], fleet: ReferenceFleet, prefix: str) -> list[str]:
    """Those of this fleet are as the reference says; returns codes, and `certain` before it.

    One that had no session in the window may be left out.
    """
    window = times(answer["period"])
    found = {one["meterId"]: one for one in answer["meters"] if one["meterId"].startswith(prefix)}
    raised = []
    for meter in fleet.meters:
        expected = whole_charger(fleet, meter, window)
        for alert in expected["alerts"]:
            raised += [alert["code"]] + ["certain " + alert["code"]] * alert["certain"]
        if (one := found.pop(prefix + meter, None)) is not None:
            agree(one, expected, prefix + meter)
        else:
            assert not expected["metrics"]["chargingSessions"], prefix + meter
    assert not found
    return raised


def counts_agree(answer: dict[str, Any], raised: list[str]) -> None:
    """They are those of all chargers together."""
    for code in CODES:
        word, rest = code.split("_")
        name = word + rest.capitalize()
        assert answer["alertCounts"][name] == raised.count(code), code
        assert answer["certainAlertCounts"][name] == raised.count("certain " + code), code


def vehicles_on_it_agree(
    answer: dict[str, Any], fleet: ReferenceFleet, meter: str, prefix: str
) -> None:
    """Each vehicle of a charger's answer, there and elsewhere."""
    window = times(answer["period"])
    found = {vehicle["vehicleId"]: vehicle for vehicle in answer["vehicles"]}
    for name, one in reference.on_charger(fleet, meter, *window).items():
        if (vehicle := found.pop(prefix + name, None)) is None:
            assert not one.sessions
            continue
        expected = of_charger(one, int(one.sessions > 0))
        expected["elsewhere"] = reference.elsewhere(fleet, meter, name, *window)
        agree(vehicle, expected, f"{prefix}{meter} {name}")
    assert not found


def groups_agree(answer: dict[str, Any], fleet: ReferenceFleet, meter: str) -> None:
    """Each stretch of a charger's answer."""
    for group in answer["groups"]:
        expected = whole_charger(fleet, meter, times(group))
        agree(group, {name: expected[name] for name in ("metrics", "coverage")}, meter)


def in_order(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups: from one end of the period to the other, none left out."""
    found: list[dict[str, Any]] = answer["groups"]
    bounds = [times(group) for group in found]
    start, end = times(answer["period"])
    assert [first for first, _ in bounds] == [start, *(past for _, past in bounds[:-1])]
    assert bounds[-1][1] == end and timedelta() not in (past - first for first, past in bounds)
    return found
