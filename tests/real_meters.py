"""What real meters do, and what is true then: readings of which naive sums say something else."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.reference import Device, Exchange, Reading, ReferenceFleet, Session

START = datetime(2026, 3, 10, 9, tzinfo=UTC)
MOST_MINUTES = 120
TEMP = Decimal(25)
AC, DC = "metrics.totalEnergyConsumedAc", "metrics.totalEnergyDeliveredDc"
RATIO, QUALITY = "metrics.efficiencyRatio", "coverage.quality"
RESETS, REJECTED = "coverage.counterResets", "coverage.rejectedReadings"


@dataclass
class Case:
    """Vehicles that charged, and what the figures of one have to say from START on."""

    fleet: ReferenceFleet
    true: dict[str, Any]
    """By path, rounded as the API rounds."""
    alerts: dict[str, bool] = field(default_factory=dict)
    """All there are, by code: whether they are certain."""
    vehicle: str = "V"


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def readings(*found: tuple[float, str]) -> list[Reading]:
    """Of (minutes after START, kWh)."""
    return [Reading(after(minutes), Decimal(kwh), TEMP) for minutes, kwh in found]


def register(*found: tuple[float, str], **more: Any) -> Device:
    return Device(True, readings(*found), **more)


def steady(kwh: str, count: int, every_s: int = 60) -> Device:
    """So many readings of so much energy each, one at the end of each pace."""
    times = [START + timedelta(seconds=(n + 1) * every_s) for n in range(count)]
    return Device(False, [Reading(time, Decimal(kwh), TEMP) for time in times], pace_s=every_s)


def rising(first: str, by: str, count: int, every_s: int) -> Device:
    """The register of such a device, from START on."""
    return Device(
        True,
        [
            Reading(START + timedelta(seconds=n * every_s), Decimal(first) + n * Decimal(by), TEMP)
            for n in range(count + 1)
        ],
        pace_s=every_s,
    )


def charged(meter: Device, vehicle: Device, minutes: float = 60) -> ReferenceFleet:
    """One session that began at START."""
    return ReferenceFleet({"M": meter}, {"V": vehicle}, [Session("M", "V", START, after(minutes))])


def one_second_early() -> Device:
    """The last of the car's readings comes just before the stop."""
    car = steady("0.472", 6)
    car.readings[-1] = car.readings[-1]._replace(time=after(6) - timedelta(seconds=1))
    return car


def in_the_next_hour() -> Device:
    """An hourly value that is stamped 13 s after its hour."""
    late = timedelta(seconds=13)
    return Device(
        False,
        [Reading(START + late, Decimal(0)), Reading(after(60) + late, Decimal("7.2"))],
        pace_s=3600,
    )


def silent_for_an_hour() -> ReferenceFleet:
    """A charged in the silence; B began as A stopped, and the meter came back a minute later."""
    counted = [(0, "500"), (61, "520.333")]
    counted += [(61 + n, str(Decimal("520.333") + n * Decimal("0.1"))) for n in range(1, 59)]
    meter = register(*counted, (120, "526.96"), pace_s=60)
    first, second = steady("0.306", 60), steady("0.107", 60)
    second.readings = [r._replace(time=r.time + timedelta(hours=1)) for r in second.readings]
    sessions = [Session("M", "A", START, after(60)), Session("M", "B", after(60), after(120))]
    return ReferenceFleet({"M": meter}, {"A": first, "B": second}, sessions)


def exchanged(first_of_new: str, *seen: str) -> Device:
    """2.5 kWh, then 0.5 on the old meter and 0.6 on the new one, then 2.2."""
    meter = register((1, "4210"), (2, "4212.5"), *zip((10, 11), seen, strict=True))
    meter.exchanges = [Exchange(after(9.5), Decimal(4213), Decimal(first_of_new))]
    return meter


def bad_fields(*, salvaged: bool) -> ReferenceFleet:
    """Ten readings with a batteryTemp of -100, ten with a soc of 65535."""
    car = steady("0.11", 48)
    if salvaged:
        car.readings[5:15] = [reading._replace(temp=None) for reading in car.readings[5:15]]
    else:
        car.rejected = [reading.time for reading in car.readings[5:25]]
        del car.readings[5:25]
    return charged(steady("0.12", 48), car, 48)


def one_impossible() -> Device:
    meter = steady("0.1", 60)
    meter.readings[30] = meter.readings[30]._replace(kwh=Decimal(2_147_483_647))
    return meter


CASES = {
    "a register dips by its last digit": Case(
        charged(register((1, "310.2"), (2, "310.3"), (3, "310.2")), steady("0.03", 3)),
        {AC: 0.1, "coverage.dips": 1, RESETS: 0, QUALITY: "partial"},
    ),
    "a zero between": Case(
        charged(
            register((1, "18210.4"), (2, "18210.5"), (3, "0"), (4, "18210.6")), steady("0.045", 4)
        ),
        {AC: 0.2, "coverage.spikes": 1, RESETS: 0, QUALITY: "partial"},
    ),
    "a vehicle's register dips": Case(
        charged(steady("0.035", 4), register((1, "2.262"), (2, "2.24"), (3, "2.391"))),
        {DC: 0.129, RATIO: 0.921, "coverage.dips": 1, RESETS: 0},
    ),
    "a register every 5 minutes, read at the very stop": Case(
        charged(rising("1000", "0.9", 6, 300), steady("0.165", 30), 30),
        {AC: 5.4, RATIO: 0.917, "coverage.acReadings": 6, QUALITY: "complete"},
    ),
    "the car's last reading 1 s before the stop, the meter's at the stop": Case(
        charged(steady("0.5", 6), one_second_early(), 6),
        {AC: 3.0, RATIO: 0.944, QUALITY: "complete"},
    ),
    "an hourly value stamped 13 s after its hour": Case(
        charged(in_the_next_hour(), steady("0.11", 60)),
        {AC: 7.2, RATIO: 0.917, "coverage.acReadingsExpected": 1, QUALITY: "complete"},
    ),
    "a 15-minute meter, nothing missing": Case(
        charged(steady("1.5", 4, 900), steady("0.092", 60)),
        {"coverage.acReadings": 4, "coverage.acReadingsExpected": 4, QUALITY: "complete"},
    ),
    "a 10-second meter, silent for half of the session": Case(
        charged(steady("0.02", 180, 10), steady("0.11", 60)),
        {RATIO: 1.833, "coverage.acSecondsCovered": 1810, QUALITY: "partial"},
        {"impossible_efficiency": False},
    ),
    "a meter silent through A's hour: A": Case(
        silent_for_an_hour(),
        {
            AC: 20.0,
            "coverage.estimatedAc": 20.0,
            "coverage.acSecondsCovered": 60,
            QUALITY: "partial",
        },
        vehicle="A",
    ),
    "a meter silent through A's hour, back one minute into B's: B": Case(
        silent_for_an_hour(),
        {AC: 6.96, "coverage.estimatedAc": 0.333, RATIO: 0.922, QUALITY: "complete"},
        vehicle="B",
    ),
    "a meter exchanged for one with a lower count": Case(
        charged(exchanged("812.4", "813", "815.2"), steady("0.5", 11)),
        {AC: 5.8, RESETS: 0, "coverage.implausibleReadings": 0},
    ),
    "a meter exchanged for one with a higher count": Case(
        charged(exchanged("33210.2", "33210.8", "33213"), steady("0.5", 11)),
        {AC: 5.8, RESETS: 0, "coverage.implausibleReadings": 0},
    ),
    "20 readings rejected for another field": Case(
        bad_fields(salvaged=False),
        {RATIO: 0.535, REJECTED: 20, QUALITY: "partial"},
        {"low_efficiency": False},
    ),
    "20 readings stored without that field": Case(
        bad_fields(salvaged=True),
        {RATIO: 0.917, REJECTED: 0, QUALITY: "complete", "metrics.averageBatteryTemp": 25.0},
    ),
    "one reading of 2,147,483,647 kWh": Case(
        charged(one_impossible(), steady("0.09", 60)),
        {AC: 5.9, "coverage.implausibleReadings": 1, QUALITY: "partial"},
        {"implausible_energy": False},
    ),
    "a newcomer's walk": Case(
        charged(Device(False, readings((0.1, "10.5"))), Device(False, readings((0.2, "9.8")))),
        {AC: 10.5, DC: 9.8, RATIO: 0.933, QUALITY: "partial"},
    ),
}
