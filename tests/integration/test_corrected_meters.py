"""What people correct over HTTP, and what chargers say of their registers, and figures of that."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from tests import reference, stored_fleets
from tests.agreement import agree, look_up
from tests.connections import connect
from tests.corrected_meters import CORRECTIONS, SAID, Corrected
from tests.readings import iso
from tests.real_meters import MOST_MINUTES, START, Case, after
from tests.reference import ReferenceFleet
from tests.stored_corrections import post

PREFIXES = {name: f"{number}-" for number, name in enumerate(SAID | CORRECTIONS)}


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (-1, 0))
        yield connection


def judged(api: httpx.Client, case: Case, prefix: str, true: dict[str, Any]) -> dict[str, Any]:
    """The answer is this, and what the reference says."""
    window = {"startTime": iso(START), "endTime": iso(after(MOST_MINUTES))}
    answer = api.get(f"/v1/analytics/performance/{prefix}{case.vehicle}", params=window)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert {path: look_up(body, path) for path in true} == true
    agree(body, reference.performance(case.fleet, case.vehicle, START, after(MOST_MINUTES)))
    return body


@pytest.mark.parametrize("name", SAID)
def test_what_chargers_say(
    api: httpx.Client, connection: psycopg.Connection[Any], name: str
) -> None:
    case = SAID[name]
    stored_fleets.load(connection, case.fleet, PREFIXES[name])
    body = judged(api, case, PREFIXES[name], case.true)
    assert {alert["code"]: alert["certain"] for alert in body["alerts"]} == case.alerts


@pytest.mark.parametrize("name", CORRECTIONS)
def test_corrections_and_their_undoing(
    api: httpx.Client, connection: psycopg.Connection[Any], name: str
) -> None:
    corrected, prefix = CORRECTIONS[name], PREFIXES[name]
    as_sent = undone(corrected)
    stored_fleets.load(connection, as_sent.fleet, prefix)
    before = judged(api, as_sent, prefix, corrected.undone)
    made = [
        post(api, "meter", f"{prefix}M", correction).raise_for_status().json()["correctionId"]
        for correction in corrected.case.fleet.meters["M"].corrections
    ]
    judged(api, corrected.case, prefix, corrected.case.true)
    for correction_id in made:
        assert api.delete(f"/v1/corrections/{correction_id}").status_code == 204
    assert judged(api, as_sent, prefix, corrected.undone) == before


def undone(corrected: Corrected) -> Case:
    """The case without its corrections."""
    fleet = corrected.case.fleet
    meter = replace(fleet.meters["M"], corrections=[])
    return replace(
        corrected.case, fleet=ReferenceFleet({"M": meter}, fleet.vehicles, fleet.sessions)
    )
