"""What goes on beside whatever else a test does: questions to the API, and readings."""

from collections.abc import Callable, Iterator
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
    wrong = list[Any]()

    def ask() -> None:
        for path, body in wanted.items():
            answer = api.http.get(path)
            if answer.status_code != 503 and answer.json() != body:
                wrong.append((answer.status_code, answer.text[:200]))

    with _again_and_again(ask):
        yield wrong


@contextmanager
def sent_all_the_while(environment: dict[str, str]) -> Iterator[list[int]]:
    """Send readings of meters in a thread; how many, by record batch."""
    sent = list[int]()
    began = datetime.now(UTC) - timedelta(hours=6)

    def produce() -> None:
        numbers = range(len(sent) * AT_ONCE, (len(sent) + 1) * AT_ONCE)
        times = [began + timedelta(milliseconds=n) for n in numbers]
        values = (meter_value(f"M{n % DEVICES}", at) for n, at in zip(numbers, times, strict=True))
        send(environment, *values)
        sent.append(AT_ONCE)

    with _again_and_again(produce):
        yield sent


@contextmanager
def _again_and_again(step: Callable[[], None]) -> Iterator[None]:
    """In a thread of its own, until it is left."""
    ended = Event()

    def work() -> None:
        while not ended.is_set():
            step()

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
