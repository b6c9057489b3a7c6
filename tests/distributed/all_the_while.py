"""What goes on beside whatever else a test does: questions to the API, and readings."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

from tests.api_process import ApiProcess
from tests.distributed.filled import FIRST_DAY
from tests.kafka import send
from tests.readings import meter_value

AT_ONCE = 200
DEVICES = 50
HISTORY = f"/v1/telemetry/meters/D-5/history?startTime={FIRST_DAY}T00:00:00Z&limit=50"
STATE = "/v1/devices/meters/D-5/state"


@contextmanager
def asked_all_the_while(api: ApiProcess, wanted: dict[str, Any]) -> Iterator[list[Any]]:
    """Ask in a thread; what was answered otherwise than wanted, but for 503."""
    ended, wrong = Event(), list[Any]()

    def ask() -> None:
        while not ended.is_set():
            for path, body in wanted.items():
                answer = api.http.get(path)
                if answer.status_code != 503 and answer.json() != body:
                    wrong.append((answer.status_code, answer.text[:200]))

    thread = Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        thread.join()


@contextmanager
def sent_all_the_while(environment: dict[str, str]) -> Iterator[list[int]]:
    """Send readings of meters in a thread; how many, by record batch."""
    ended, sent = Event(), list[int]()
    began = datetime.now(UTC) - timedelta(hours=6)

    def produce() -> None:
        while not ended.is_set():
            numbers = range(len(sent) * AT_ONCE, (len(sent) + 1) * AT_ONCE)
            send(
                environment,
                *(
                    meter_value(f"M{n % DEVICES}", began + timedelta(milliseconds=n))
                    for n in numbers
                ),
            )
            sent.append(AT_ONCE)

    thread = Thread(target=produce)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
