"""Alerts are told to whoever is to know: at least once, in order, for as long as it takes."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from psycopg.types.json import Jsonb
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from api.alerts.delivery import MAX_PAUSE_S, Delivery
from api.alerts.telling import Alertmanager, Teller, Webhook
from api.metrics import Metrics
from api.side_connection import SideConnection
from reporting.applications import Application
from schemas.alert_targets import AlertTarget, parse_targets
from schemas.alerts import RaisedAlert
from sql.connect import conninfo
from tests.alertmanager import active, alertmanager
from tests.api_process import ApiProcess
from tests.conftest import create_topics
from tests.kafka import kafka_records
from tests.receiver import DROP, Got, Receiver, receiver
from tests.rights import API, role
from tests.settings import settings_of
from tests.workers import PATIENCE_S, ROOT, wait_until

Database = psycopg.Connection[Any]
HOUR = timedelta(hours=1)
SECRETS = [b"the first secret of twenty-four", b"another one, for a rotation"]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def open_alert(
    database: Database, device: str, *, session: int = 0, events: tuple[str, ...] = ("opened",)
) -> str:
    """A certain alert with these events; returns its id."""
    row: Any = database.execute(
        "INSERT INTO alerts (opened_at, certain_since, code, stream, device_id, session_id,"
        " message) VALUES (now(), now(), 'low_efficiency', 'vehicle', %s, %s, 'Low')"
        " RETURNING alert_id, number, code, message, why, stream AS stream_type, device_id,"
        " session_id, meter_id, device_id AS vehicle_id, opened_at, certain_since,"
        " acknowledged_at, acknowledged_by, note, resolved_at",
        (device, f"00000000-0000-0000-0000-{session:012}"),
    )
    names = [column.name for column in row.description]
    alert = RaisedAlert.of_row(dict(zip(names, row.fetchone(), strict=True)))
    for event in events:
        database.execute(
            "INSERT INTO alert_events (alert_id, event, stream, device_id, alert)"
            " VALUES (%s, %s, 'vehicle', %s, %s)",
            (alert.alert_id, event, device, Jsonb(alert.model_dump(mode="json", by_alias=True))),
        )
    return str(alert.alert_id)


class Clock:
    """The time as delivery sees it."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def delivering(
    environment: dict[str, str],
    targets: list[AlertTarget],
    clock: Clock,
    work: Callable[[Delivery, list[Teller]], Awaitable[None]],
) -> Metrics:
    """Deliver to these targets, which were known before, as `work` does it."""

    async def do() -> Metrics:
        metrics = Metrics()
        where = conninfo(settings_of(role(environment, API)), Application.API)
        side = SideConnection(where, 5.0)
        async with httpx.AsyncClient(timeout=5.0) as http:
            tellers: list[Teller] = [
                Alertmanager(target, http)
                if target.kind == "alertmanager"
                else Webhook(target, http, "database")
                for target in targets
            ]
            delivery = Delivery(tellers, side, metrics, clock)
            await delivery.begin()
            try:
                await work(delivery, tellers)
            finally:
                await side.close()
        return metrics

    return asyncio.run(do())


def at_once(
    environment: dict[str, str], targets: list[AlertTarget], clock: Clock | None = None
) -> None:
    """Deliver what is due now."""

    async def work(delivery: Delivery, tellers: list[Teller]) -> None:
        for teller in tellers:
            await delivery.tell(teller)

    delivering(environment, targets, clock or Clock(), work)


@pytest.mark.parametrize("away", [500, DROP])
def test_a_target_that_is_away_for_an_hour_gets_each_of_200_alerts_in_order(
    own_environment: dict[str, str], database: Database, hook: Receiver, away: int
) -> None:
    clock, targets = Clock(), parse_targets(hook.url)
    began = clock.now
    hook.answer = lambda _: away if clock.now < began + HOUR else 204

    async def work(delivery: Delivery, tellers: list[Teller]) -> None:
        for minute in range(70):
            clock.now = began + minute * timedelta(minutes=1)
            for number in range(4 if minute < 50 else 0):
                open_alert(database, f"V{number}", session=minute)
            for _ in range(6):
                await delivery.tell(tellers[0])
                clock.now += timedelta(seconds=10)

    delivering(own_environment, targets, clock, work)
    assert len(hook.ids) == len(set(hook.ids)) == 200
    rows = database.execute("SELECT event_id, device_id FROM alert_events ORDER BY number")
    sent = {str(event): device for event, device in rows.fetchall()}
    for device in set(sent.values()):
        in_order = [event for event in sent if sent[event] == device]
        assert [event for event in hook.ids if sent[event] == device] == in_order
    tries = len(hook.got) - len(hook.taken)
    assert HOUR.total_seconds() / MAX_PAUSE_S <= tries < 50, "it is left alone for a while"
    assert database.execute("SELECT count(*) FROM alert_deliveries").fetchone() == (0,)


def test_an_event_that_is_not_taken_holds_up_its_own_device_alone(
    own_environment: dict[str, str], database: Database, hook: Receiver
) -> None:
    clock, targets = Clock(), parse_targets(hook.url)
    at_once(own_environment, targets)
    open_alert(database, "BAD", events=("opened", "acknowledged"))
    open_alert(database, "GOOD", events=("opened", "acknowledged", "resolved"))
    hook.answer = lambda got: 400 if got.event["subject"] == "vehicle/BAD" else 200
    at_once(own_environment, targets, clock)
    assert [got.event["type"][13:] for got in hook.taken] == ["opened", "acknowledged", "resolved"]
    (error,) = database.execute(
        "SELECT error FROM alert_deliveries WHERE error IS NOT NULL"
    ).fetchone() or ("",)
    assert error == "it answered with 400"
    hook.answer = lambda _: 200
    clock.now += HOUR
    at_once(own_environment, targets, clock)
    assert [got.event["subject"] for got in hook.taken[3:]] == ["vehicle/BAD"] * 2


def test_what_was_taken_without_an_answer_comes_again_with_its_id(
    own_environment: dict[str, str], database: Database, hook: Receiver
) -> None:
    clock, targets = Clock(), parse_targets(hook.url)
    at_once(own_environment, targets)
    open_alert(database, "V1")
    hook.answer = lambda _: DROP
    at_once(own_environment, targets, clock)
    hook.answer = lambda _: 204
    clock.now += timedelta(minutes=1)
    at_once(own_environment, targets, clock)
    first, second = hook.got
    assert first.event == second.event
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == first.event["id"]


def is_ours() -> Callable[[dict[str, str], bytes, str], bool]:
    """The receiver's check that docs/alerts.md shows."""
    code = (ROOT / "docs" / "alerts.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[[dict[str, str], bytes, str], bool] = names["is_ours"]
    return found


def verified(got: Got, secret: bytes) -> Any:
    return Verifier(b64encode(secret).decode()).verify(got.body, got.headers)


def test_receivers_can_check_who_sent_it_and_read_it_as_a_cloud_event(
    own_environment: dict[str, str], database: Database, hook: Receiver
) -> None:
    secrets = "&".join(f"whsec_{b64encode(secret).decode()}" for secret in SECRETS)
    targets = parse_targets(f"{hook.url}?token=hidden#{secrets}")
    at_once(own_environment, targets)
    alert_id = open_alert(database, "V1")
    at_once(own_environment, targets)
    (got,) = hook.got
    assert got.path == "/hook?token=hidden"
    for secret in SECRETS:
        verified(got, secret)
    check = is_ours()
    assert check(got.headers, got.body, secrets.split("&")[1])
    assert not check(got.headers, got.body + b" ", secrets.split("&")[1])
    with pytest.raises(WebhookVerificationError):
        verified(got, b"a secret of somebody else")
    with pytest.raises(WebhookVerificationError):
        verified(got._replace(body=got.body.replace(b"Low", b"Fine")), SECRETS[0])
    event = from_http_event(HTTPMessage(got.headers, got.body))
    assert event.get_type() == "energy.alert.opened"
    assert event.get_subject() == "vehicle/V1"
    assert event.get_source() == "/energy-ingestion-engine/database"
    data = event.get_data()
    assert isinstance(data, dict)
    assert data["alertId"] == alert_id
    (target,) = database.execute("SELECT target FROM alert_targets").fetchone() or ("",)
    assert target.startswith(f"webhook http://127.0.0.1:{hook.port} ")


def test_a_new_target_hears_of_what_is_open_and_one_that_is_gone_is_forgotten(
    own_environment: dict[str, str], database: Database, hook: Receiver
) -> None:
    open_alert(database, "OPEN", events=("opened", "acknowledged"))
    over = open_alert(database, "OVER", events=("opened", "resolved"))
    database.execute("UPDATE alerts SET resolved_at = now() WHERE alert_id = %s", (over,))
    at_once(own_environment, parse_targets(hook.url))
    assert [got.event["subject"] for got in hook.taken] == ["vehicle/OPEN"]
    at_once(own_environment, [])
    for table in ("alert_targets", "alert_deliveries"):
        assert database.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


def test_a_slow_target_is_left_alone_as_it_asks(
    own_environment: dict[str, str], database: Database, hook: Receiver
) -> None:
    clock, targets = Clock(), parse_targets(hook.url)
    at_once(own_environment, targets)
    for number in range(20):
        open_alert(database, f"V{number}")
    hook.answer = lambda _: 503
    at_once(own_environment, targets, clock)
    assert len(hook.got) == 8
    clock.now += timedelta(seconds=MAX_PAUSE_S)
    at_once(own_environment, targets, clock)
    assert len(hook.got) == 9  # one is enough to see that it is still away


def test_an_alertmanager_knows_what_is_open(
    own_environment: dict[str, str], database: Database
) -> None:
    with alertmanager() as url:
        targets = parse_targets(f"alertmanager+{url}")
        session = "00000000-0000-0000-0000-000000000000"
        alert_id = open_alert(database, "V1")
        at_once(own_environment, targets)
        (alert,) = active(url)
        labels = alert["labels"]
        assert (labels["alertname"], labels["device_id"]) == ("low_efficiency", "V1")
        assert labels["session_id"] == session
        assert alert["annotations"]["summary"] == "V1: Low"
        resolved = {"resolvedAt": datetime.now(UTC).isoformat(), "state": "resolved"}
        database.execute(
            "INSERT INTO alert_events (alert_id, event, stream, device_id, alert)"
            " SELECT alert_id, 'resolved', stream, device_id, alert || %s FROM alert_events",
            (Jsonb(resolved),),
        )
        database.execute("UPDATE alerts SET resolved_at = now() WHERE alert_id = %s", (alert_id,))
        at_once(own_environment, targets)
        assert active(url) == []


def test_processes_that_are_killed_tell_everything_over_http_and_kafka(
    own_environment: dict[str, str], database: Database, hook: Receiver
) -> None:
    topic = f"{own_environment['KAFKA_METER_TOPIC']}-alerts"
    told_to = {"ALERT_WEBHOOKS": f"{hook.url}?token=hidden", "ALERT_TOPIC": topic}
    environment = own_environment | told_to
    asyncio.run(create_topics(environment, [topic], replicas=1))
    killed = threading.Event()
    hook.answer = lambda _: 204 if len(hook.got) < 5 or killed.wait(PATIENCE_S) else 500
    with ApiProcess(environment) as one, ApiProcess(environment) as other:
        keeper = "this process keeps the alerts"
        wait_until(lambda: keeper in one.log + other.log, "one keeps them")
        first, second = (one, other) if keeper in one.log else (other, one)
        for number in range(40):
            open_alert(database, f"V{number % 4}", session=number)
        wait_until(lambda: len(hook.got) > 5, "some are told")
        first.process.kill()
        killed.set()
        wait_until(lambda: len(set(hook.ids)) == 40, "the others are, too")
        undelivered = 'energy_api_alerts_undelivered{target="webhook'
        wait_until(lambda: f"{undelivered}" in second.http.get("/metrics").text, "it is shown")
        assert "hidden" not in one.log + other.log
        assert "is not signed" in second.log
        assert len(hook.ids) > 40, "what was on its way comes again"
    ids = {str(event) for (event,) in database.execute("SELECT event_id FROM alert_events")}
    assert set(hook.ids) == ids
    told = {record.key + record.value for record in kafka_records(environment, "ALERT_TOPIC")}
    assert len(told) == 40
    assert {text[:2] for text in told} == {b"V0", b"V1", b"V2", b"V3"}
