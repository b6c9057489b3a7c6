"""A device whose readings are corrected over HTTP, and what history shows of it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from tests.connections import connect
from tests.readings import iso

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PATH = "/v1/corrections"
Shown = dict[float, float]
"""Energy by minutes from START."""


def at(minutes: float) -> str:
    return iso(START + minutes * MINUTE)


class Device:
    """A device with a reading a minute, whose energy is the minute it was sent with."""

    def __init__(self, api: httpx.Client, environment: Mapping[str, str], stream: str, name: str):
        self.api, self.environment, self.stream, self.name = api, dict(environment), stream, name
        self.energy = {"meter": "kwhConsumedAc", "vehicle": "kwhDeliveredDc"}[stream]
        path = f"/v1/devices/{stream}s"
        assert api.post(path, json={f"{stream}Id": name}).status_code == 201
        self.send(range(10))

    def send(self, minutes: Iterable[float], kwh: float | None = None) -> None:
        """Store readings as a worker does: whenever they come."""
        column = {"meter": "kwh_consumed_ac", "vehicle": "kwh_delivered_dc"}[self.stream]
        with connect(self.environment) as connection:
            history = f"{self.stream}_telemetry_history"
            for minute in minutes:
                day = (START + minute * MINUTE).date()
                connection.execute("SELECT ensure_day_partition(%s, %s)", (history, day))
                connection.execute(
                    f'INSERT INTO {history} ({self.stream}_id, "timestamp", {column})'.encode()
                    + b" VALUES (%s, %s, %s)",
                    (self.name, START + minute * MINUTE, minute if kwh is None else kwh),
                )

    def post(self, first: float, past: float, action: str, **more: Any) -> httpx.Response:
        body = {"deviceId": self.name, "streamType": self.stream, "action": action, "reason": "why"}
        body |= {"startTime": at(first), "endTime": at(past), **more}
        return self.api.post(PATH, json=body)

    def correct(self, first: float, past: float, action: str, **more: Any) -> dict[str, Any]:
        answer = self.post(first, past, action, **more)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        assert self.api.get(answer.headers["Location"]).json() == made
        return made

    def undo(self, made: Mapping[str, Any]) -> httpx.Response:
        return self.api.delete(f"{PATH}/{made['correctionId']}")

    def given(self, *minutes: float, kwh: float = 100) -> list[dict[str, Any]]:
        return [{"timestamp": at(minute), self.energy: kwh + minute} for minute in minutes]

    def history(self, **query: Any) -> httpx.Response:
        window = {"startTime": at(-5_000), "endTime": at(10_000)}
        path = f"/v1/telemetry/{self.stream}s/{quote(self.name, safe='')}/history"
        return self.api.get(path, params=window | query)

    def shown(self, **query: Any) -> Shown:
        found = self.history(**query).json()
        times = [datetime.fromisoformat(one["timestamp"]) for one in found]
        assert times == sorted(times)
        return {
            round((time - START) / MINUTE, 6): one[self.energy]
            for time, one in zip(times, found, strict=True)
        }


SENT: Shown = {float(n): float(n) for n in range(10)}


def without(*minutes: float) -> Shown:
    return {minute: kwh for minute, kwh in SENT.items() if minute not in minutes}
