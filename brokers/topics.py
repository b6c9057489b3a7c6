"""Settings of topics under which readings vanish unseen: which they are, and why they do so."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, for_code

from brokers.connect import connected_admin
from schemas.settings import Settings

MS_AN_HOUR = 3_600_000
UNBOUNDED = "-1"
ASKED_FOR = ("cleanup.policy", "message.timestamp.type", "retention.ms")

INTERVAL_S = 300.0
RETRY_S = 30.0

log = logging.getLogger(__name__)


async def watch_topics(settings: Settings, report: Callable[[str, str | None], None]) -> None:
    """Look at our topics every now and then, until cancelled.

    `report` is told of each topic and why it may lose readings; None when it does not.
    """
    while True:
        wait_s = INTERVAL_S
        try:
            unsafe = await unsafe_topics(settings, settings.topics)
        except (KafkaError, OSError, TimeoutError) as error:
            log.debug("the topics' settings are not known: %r", error)
            wait_s = RETRY_S
        else:
            for topic in settings.topics:
                report(topic, unsafe.get(topic))
        await asyncio.sleep(wait_s)


async def unsafe_topics(settings: Settings, topics: Collection[str]) -> dict[str, str]:
    """Which of these topics may lose readings, and why; one that may not be described is left out.

    Raises KafkaError, OSError or TimeoutError.
    """
    wanted, hours = dict.fromkeys(ASKED_FOR), settings.backup_max_age_hours
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, wanted) for topic in topics]
    async with connected_admin(settings) as admin:
        answers = await admin.describe_configs(resources)
    found = {}
    for answer in answers:
        for code, _, _, topic, entries in answer.resources:
            if code:
                error = for_code(code)
                level = logging.DEBUG if error is TopicAuthorizationFailedError else logging.INFO
                log.log(level, "settings of topic %s: %s", topic, error.__name__)
                continue
            if why := why_unsafe({name: value for name, value, *_ in entries}, hours):
                found[topic] = why
    return found


def why_unsafe(configs: Mapping[str, Any], backup_max_age_hours: int) -> str | None:
    """Why readings of a topic with these settings may vanish before they are read; else None.

    A restored PostgreSQL reads again what came after its backup: Kafka must still have that.
    """
    reasons = []
    if "compact" in (configs.get("cleanup.policy") or ""):
        reasons.append("cleanup.policy=compact removes all but a device's last reading: use delete")
    stamped = configs.get("message.timestamp.type", "LogAppendTime")
    if stamped != "LogAppendTime":
        reasons.append(
            f"message.timestamp.type={stamped}: a gateway's old times let retention delete unread"
            " readings: use LogAppendTime"
        )
    kept_ms = int(configs.get("retention.ms") or UNBOUNDED)
    if 0 <= kept_ms < backup_max_age_hours * MS_AN_HOUR:
        reasons.append(
            f"retention.ms={kept_ms} keeps readings for less than {backup_max_age_hours} h,"
            " BACKUP_MAX_AGE_HOURS: what came after a backup that old could not be read again"
        )
    return "; ".join(reasons) or None
