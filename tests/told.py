"""What chargers say in a test, out of order and again and again, and what must come of it.

In every hour each charger has a session with another vehicle, so that each session waits for the
end of others; some happened years ago. Then there are those that are no sessions: of unknown
devices, of two chargers that claim one vehicle, and what is no event at all.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from tests.conftest import create_topics
from tests.connections import connect
from tests.kafka import PARTITIONS, options_of
from tests.readings import array_value
from tests.session_events import Session, end, register, sessions, start
from tests.workers import books_of

YEARS_AGO = -700 * 1440.0
"""In minutes; MAX_READING_AGE_DAYS is 730."""
REPEATED = 1 / 3
LATE_BY = 40
"""By how many places an event may be out of order, beside what several partitions do to it."""
GARBAGE = {
    b"\xffjunk": "malformed",
    b'{"event":"stop","transactionId":"T"}': "invalid",
    start("old", "M0", "V0", YEARS_AGO * 2): "too_old",
    start("new", "M0", "V0", 1440 * 9.0): "in_future",
}


REASONS = """
    SELECT reason, count(*) FROM rejected_records
    WHERE topic = %s AND resolved_at IS NULL
    GROUP BY reason
"""
EVENTS = "SELECT session_id, count(*) FROM session_events GROUP BY session_id"


@dataclass
class Told:
    """Events in the order in which they are sent, and the truth that they tell."""

    sent: list[bytes] = field(default_factory=list)
    truth: dict[str, Session] = field(default_factory=dict)
    """By transaction, what must stand in the end."""
    claims: list[tuple[Session, Session]] = field(default_factory=list)
    """Of each pair one must stand, whichever came first."""
    unknown: dict[str, Session] = field(default_factory=dict)
    """What stands once their devices are registered."""
    bad: Counter[str] = field(default_factory=Counter)
    """What stays rejected, by reason, beside claims and unknown devices."""
    devices: int = 0


def tell(seed: int, *, chargers: int, hours: int) -> Told:
    """Sessions of so many chargers and hours, a third of whose events are repeated."""
    rng, told = random.Random(seed), Told(devices=chargers * 3)
    for hour in range(hours):
        last = hour == hours - 1  # its sessions have no end
        base = YEARS_AGO if hour % 5 == 1 and not last else 0.0
        for charger in range(chargers):
            _add(
                told.truth,
                rng,
                f"T{hour}-{charger}",
                f"M{charger}",
                f"V{(charger + hour) % chargers}",
                base + hour * 60,
                active=last,
            )
    for n in range(chargers, chargers * 2, 2):
        first = Session(f"A{n}", f"M{n}", f"V{n}", 0, 30, 1, 2)
        told.claims.append((first, Session(f"B{n}", f"M{n + 1}", f"V{n}", 15, 45, 1, 2)))
        _add(told.unknown, rng, f"U{n}", f"M{chargers * 9 + n}", f"V{n}", 120)
    known = [*told.truth.values(), *told.unknown.values()]
    events = [one for session in known for one in events_of(session)]
    once = [one for pair in told.claims for session in pair for one in events_of(session)]
    told.bad.update(GARBAGE.values())
    sent = [(place + rng.uniform(0, LATE_BY), one) for place, one in enumerate(events)]
    again = rng.sample(sent, int(len(sent) * REPEATED / (1 - REPEATED)))
    sent += [(place + rng.uniform(0, LATE_BY * 9), one) for place, one in again]
    sent += [(rng.uniform(0, len(events)), one) for one in (*once, *GARBAGE)]
    told.sent = [one for _, one in sorted(sent)]
    return told


def events_of(session: Session) -> list[bytes]:
    """What its charger says of it."""
    transaction, meter, vehicle, first, past, meter_start, meter_stop = session
    assert transaction
    told = [start(transaction, meter, vehicle, first, meterStart=meter_start)]
    return told if past is None else [*told, end(transaction, past, meterStop=meter_stop)]


def with_sessions(environment: dict[str, str], *, replicas: int = 1) -> dict[str, str]:
    """The environment with a new topic of session events."""
    topic = environment["KAFKA_METER_TOPIC"].replace("meter", "sessions")
    asyncio.run(create_topics(environment, [topic], replicas=replicas))
    return {**environment, "KAFKA_SESSION_TOPIC": topic}


def send(environment: Mapping[str, str], events: list[bytes], seed: int) -> None:
    """Send these over all partitions, some of them in arrays."""
    asyncio.run(_send(environment, events, random.Random(seed)))


async def _send(environment: Mapping[str, str], events: list[bytes], rng: random.Random) -> None:
    topic, at = environment["KAFKA_SESSION_TOPIC"], 0
    async with AIOKafkaProducer(**options_of(environment), linger_ms=5) as producer:
        sending = []
        while at < len(events):
            some = events[at : at + rng.choice((1, 1, 1, 5))]
            at += len(some)
            values = some if len(some) == 1 or b"\xffjunk" in some else [array_value(*some)]
            sending += [
                await producer.send(topic, value, partition=rng.randrange(PARTITIONS))
                for value in values
            ]
        await asyncio.gather(*sending)


def assert_told(environment: dict[str, str], told: Told, *, registered: bool = False) -> None:
    """The sessions are those of the truth, each event is one thing, and the books say so.

    `registered`: whether the unknown devices are known and their events replayed by now.
    """
    topic = environment["KAFKA_SESSION_TOPIC"]
    with connect(environment) as database:
        found = {one.transaction: one for one in sessions(database)}
        reasons = Counter(dict(database.execute(REASONS, [topic]).fetchall()))
        events = dict(database.execute(EVENTS).fetchall())
    truth = {**told.truth, **(told.unknown if registered else {})}
    for pair in told.claims:
        (stands,) = [one for one in pair if one.transaction in found]
        truth[stands.transaction or ""] = stands
    difference = found.items() ^ truth.items()
    assert not difference, difference
    assert len(events) == len(truth)
    assert sum(events.values()) == sum(len(events_of(one)) for one in truth.values())
    total = books_of(environment, topic)
    assert (total["read"], total["stored"]) == (len(told.sent), sum(events.values()))
    bad = told.bad + Counter(conflict=len(told.claims), invalid=len(told.claims))
    if not registered:
        bad["invalid"] += sum(
            told.sent.count(e) for s in told.unknown.values() for e in events_of(s)
        )
    assert reasons == bad
    assert total["rejected"] == bad.total()


def register_all(environment: dict[str, str], told: Told) -> None:
    """Register the devices that are known from the beginning."""
    with connect(environment) as database:
        register(database, told.devices)


def _add(
    into: dict[str, Session],
    rng: random.Random,
    transaction: str,
    meter: str,
    vehicle: str,
    first: float,
    *,
    active: bool = False,
) -> None:
    """A session within an hour, which may last until the next one's start."""
    past = None if active else first + rng.choice((0, 30, 60))
    kwh = None if active else float(rng.randrange(9))
    into[transaction] = Session(transaction, meter, vehicle, first, past, 1, kwh)
