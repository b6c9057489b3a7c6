"""How an event of an alert is told: as CloudEvents over HTTP or Kafka, or to an Alertmanager.

CloudEvents 1.0, structured JSON (https://cloudevents.io); its id is the event's, by which a
receiver knows what it has had. Signed as https://www.standardwebhooks.com has it.
"""

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from hmac import digest
from typing import Any, NamedTuple, Protocol

import httpx
import orjson

from api.http.errors import ApiError
from api.kafka_records import OutgoingRecord, partition_of
from api.producer import Producer
from reporting.version import NAME
from schemas.alert_targets import AlertTarget
from schemas.alerts import EVENT_MEDIA_TYPE, EVENT_TYPE, RaisedAlert
from schemas.text import one_line

ANSWER_WITHIN_S = 10.0
LONGEST_RETRY_AFTER_S = 300.0
MAX_ERROR_CHARACTERS = 200
OF_THE_TARGET = {401, 403, 404, 408, 425, 429}
"""Statuses that say nothing of the one event: the target is not to be had, or not yet."""


class Event(NamedTuple):
    """A step in an alert's life."""

    number: int
    event_id: str
    event: str
    at: datetime
    stream: str
    device_id: str
    alert: dict[str, Any]
    attempts: int


class NotTakenError(Exception):
    """The target did not take an event; the text says why, without what is secret."""

    def __init__(self, why: str, *, of_target: bool, after_s: float = 0.0) -> None:
        """`of_target`: it would take no other either. It is to be left alone for `after_s`."""
        super().__init__(why)
        self.of_target = of_target
        self.after_s = after_s


class Teller(Protocol):
    """Tells one target."""

    name: str

    async def tell(self, event: Event, now: datetime) -> None:
        """Return once the target has it. Raises NotTakenError."""


def cloud_event(event: Event, source: str) -> bytes:
    """The event as JSON; `source` says which database it is of."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event.event_id,
            "source": f"/{NAME}/{source}",
            "type": f"{EVENT_TYPE}.{event.event}",
            "subject": f"{event.stream}/{event.device_id}",
            "time": event.at,
            "datacontenttype": "application/json",
            "data": event.alert,
        }
    )


def signed(secrets: tuple[bytes, ...], event_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who sent a body, and when; one signature a secret."""
    seconds = str(int(now.timestamp()))
    text = f"{event_id}.{seconds}.".encode() + body
    signatures = [f"v1,{b64encode(digest(secret, text, sha256)).decode()}" for secret in secrets]
    headers = {"webhook-id": event_id, "webhook-timestamp": seconds}
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


class Webhook:
    """A target that is posted CloudEvents."""

    def __init__(self, target: AlertTarget, http: httpx.AsyncClient, source: str) -> None:
        self.name = target.name
        self._target = target
        self._http = http
        self._source = source

    async def tell(self, event: Event, now: datetime) -> None:
        """Return once it has answered with 2xx. Raises NotTakenError."""
        body = cloud_event(event, self._source)
        headers = signed(self._target.secrets, event.event_id, now, body)
        headers["Content-Type"] = EVENT_MEDIA_TYPE
        await _post(self._http, self._target.url, body, headers)


class Alertmanager:
    """A target that knows alerts, not events: it is posted how the alert stands."""

    def __init__(self, target: AlertTarget, http: httpx.AsyncClient) -> None:
        self.name = target.name
        self._url = f"{target.url.rstrip('/')}/api/v2/alerts"
        self._http = http

    async def tell(self, event: Event, now: datetime) -> None:
        """Return once it has taken it. Raises NotTakenError."""
        await self.post([RaisedAlert.model_validate(event.alert)])

    async def post(self, alerts: list[RaisedAlert]) -> None:
        """Say how alerts stand: it takes those for resolved of which it hears nothing for minutes.

        Raises NotTakenError.
        """
        body = orjson.dumps([_for_alertmanager(alert) for alert in alerts])
        await _post(self._http, self._url, body, {"Content-Type": "application/json"})


class Topic:
    """A Kafka topic, with the device's id as key."""

    def __init__(self, topic: str, producer: Producer, source: str) -> None:
        self.name = f"topic {topic}"
        self._topic = topic
        self._producer = producer
        self._source = source

    async def tell(self, event: Event, now: datetime) -> None:
        """Return once Kafka has it for good. Raises NotTakenError."""
        try:
            partitions = await self._producer.partitions(self._topic)
            record = OutgoingRecord(
                self._topic,
                partition_of(event.device_id, partitions),
                event.device_id.encode(),
                cloud_event(event, self._source),
                0,
            )
            await self._producer.deliver([record])
        except ApiError as error:
            raise NotTakenError(error.message, of_target=True) from None


def _for_alertmanager(alert: RaisedAlert) -> dict[str, Any]:
    labels = {
        "alertname": alert.code,
        "stream": alert.stream_type,
        "device_id": alert.device_id,
        "session_id": str(alert.session_id or ""),
        "meter_id": alert.meter_id or "",
    }
    notes = {"summary": f"{alert.device_id}: {alert.message}", "alert_id": str(alert.alert_id)}
    if alert.acknowledged_by:
        notes |= {"acknowledged_by": alert.acknowledged_by, "note": alert.note or ""}
    ends = {"endsAt": alert.resolved_at} if alert.resolved_at else {}
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": notes,
        "startsAt": alert.opened_at,
        **ends,
    }


async def _post(http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> None:
    """Post it; what the answer holds is not read. Raises NotTakenError."""
    try:
        async with http.stream("POST", url, content=body, headers=headers) as answer:
            status, after = answer.status_code, answer.headers.get("Retry-After", "")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # Its text may hold the address.
        raise NotTakenError(f"no answer: {type(error).__name__}", of_target=True) from None
    if 200 <= status < 300:
        return
    raise NotTakenError(
        f"it answered with {status}",
        of_target=status >= 500 or status < 400 or status in OF_THE_TARGET,
        after_s=min(float(after), LONGEST_RETRY_AFTER_S) if after.isdecimal() else 0.0,
    )


def shortened(error: Exception) -> str:
    """What is kept of an error."""
    return one_line(error)[:MAX_ERROR_CHARACTERS]
