"""Looks from time to time whether Kafka keeps our topics' readings until they are read."""

import asyncio
import logging

from aiokafka.errors import KafkaError

from brokers.topics import unsafe_topics
from ingest_worker.health import Status
from schemas.settings import Settings

INTERVAL_S = 300.0
RETRY_S = 30.0

log = logging.getLogger(__name__)


async def watch_topics(settings: Settings, status: Status) -> None:
    """Report topics whose settings may lose readings, and those mended, until cancelled."""
    while True:
        wait_s = INTERVAL_S
        try:
            unsafe = await unsafe_topics(settings, list(settings.streams))
        except (KafkaError, OSError, TimeoutError) as error:
            log.debug("the topics' settings are not known: %r", error)
            wait_s = RETRY_S
        else:
            for topic in settings.streams:
                if topic in unsafe:
                    status.degraded(f"topic {topic}", unsafe[topic])
                else:
                    status.recovered(f"topic {topic}")
        await asyncio.sleep(wait_s)
