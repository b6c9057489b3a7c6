"""A topic whose settings may lose readings is reported; a worker reads on beside it."""

import asyncio
import logging

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from brokers import topics
from brokers.connect import connected_admin
from brokers.topics import unsafe_topics, watch_topics, why_unsafe
from ingest_worker.health import Status
from tests.api_process import ApiProcess
from tests.probes import degraded, said
from tests.settings import settings_of
from tests.workers import WorkerProcess, wait_until

SAFE = {
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": "604800000",
}


def configure(environment: dict[str, str], topic: str, **changed: str) -> None:
    """Give a topic the safe settings but for these, whose names have _ for a dot."""
    config = SAFE | {name.replace("_", "."): value for name, value in changed.items()}

    async def alter() -> None:
        async with connected_admin(settings_of(environment)) as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])

    asyncio.run(alter())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, None),
        ({"cleanup.policy": "compact,delete"}, "cleanup.policy"),
        ({"message.timestamp.type": "CreateTime"}, "message.timestamp.type"),
        ({"retention.ms": "86399999"}, "retention.ms"),
        ({"retention.ms": "86400000"}, None),
        ({"retention.ms": "-1"}, None),
    ],
)
def test_what_is_unsafe(changed: dict[str, str], named: str | None) -> None:
    why = why_unsafe(SAFE | changed, 24)
    assert why_unsafe(SAFE | {"retention.ms": "86400000"}, 25), "the limit is a setting"
    assert why is None if named is None else named in (why or "")


def test_brokers_are_asked_for_the_settings_of_topics(own_environment: dict[str, str]) -> None:
    environment = own_environment
    meters, vehicles = environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"]
    configure(environment, meters, retention_ms="3600000", cleanup_policy="compact")
    asked = (settings_of(environment), [meters, vehicles, "nowhere"])
    found = wait_until(lambda: asyncio.run(unsafe_topics(*asked)), "the broker knows the settings")
    assert list(found) == [meters]
    assert "retention.ms=3600000" in found[meters]
    assert "cleanup.policy=compact" in found[meters]


def test_a_worker_warns_once_of_an_unsafe_topic_and_is_ready(
    own_environment: dict[str, str],
) -> None:
    environment = own_environment
    name = f"topic {environment['KAFKA_VEHICLE_TOPIC']}"
    configure(environment, environment["KAFKA_VEHICLE_TOPIC"], message_timestamp_type="CreateTime")
    with WorkerProcess(environment) as worker:
        wait_until(lambda: "CreateTime" in degraded(worker).get(name, ""), "reported")
        assert list(degraded(worker)) == [name]
        assert said(worker, f"degraded: {name}: ") == 1
        assert worker.terminate() == 0


def test_a_topic_that_was_mended_is_reported_no_more(
    own_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(topics, "INTERVAL_S", 0.1)
    caplog.set_level(logging.INFO)
    topic = own_environment["KAFKA_METER_TOPIC"]
    configure(own_environment, topic, retention_ms="1000000")
    status = Status()

    async def watch() -> None:
        watching = asyncio.create_task(watch_topics(settings_of(own_environment), status.judged))
        try:
            async with asyncio.timeout(30):
                while "degraded" not in status.ready()[1]:
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(configure, own_environment, topic)
                while "degraded" in status.ready()[1]:
                    await asyncio.sleep(0.02)
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    asyncio.run(watch())


def test_the_api_is_degraded_and_names_the_topic(own_environment: dict[str, str]) -> None:
    topic = own_environment["KAFKA_METER_TOPIC"]
    configure(own_environment, topic, cleanup_policy="compact")
    with ApiProcess(own_environment) as api:
        health = wait_until(
            lambda: (found := api.http.get("/health").json())["status"] == "degraded" and found,
            "the API is degraded",
        )
        assert health["checks"]["kafka"]["status"] == "up"
        assert f"topic {topic}: cleanup.policy=compact" in health["checks"]["kafka"]["message"]
        assert api.http.get("/health").status_code == 200
        api.says("degraded", topic, "cleanup.policy=compact")
