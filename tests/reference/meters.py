"""A meter's figures in a window, whoever charged."""

from datetime import datetime
from typing import Any

from tests.reference.devices import ReferenceFleet, Session
from tests.reference.figures import gaps, hour_of, mismatch, typical, within
from tests.reference.shares import Share, flagged, shares_of_meter
from tests.reference.sums import ESTIMATED_SHARE, Figures, Window, readings_of, total


def meter(fleet: ReferenceFleet, name: str, start: datetime, end: datetime) -> dict[str, Any]:
    """The whole answer in [start, end), but for the id and the period."""
    window, device = Window(start, end), fleet.meters[name]
    all_shares = shares_of_meter(fleet, name)
    found = within(window, all_shares)
    times = [reading.time for reading in device.in_order() if window.has(reading.time)]
    flags = Figures()
    flags.add_flags(within(window, flagged(all_shares)))
    sessions = [s for s in fleet.of_meter(name) if s.overlap(start, end)]
    inside = total(share.energy for share in found if share.session is not None)
    everything = total(share.energy for share in found)
    rejected = sum(map(window.has, device.rejected))
    between = gaps(device, found)
    estimated = total(share.estimated for share in found)
    return {
        "metrics": {
            "totalEnergyConsumedAc": everything,
            "energyInSessions": inside,
            "energyOutsideSessions": everything - inside,
            "chargingSessions": len(sessions),
            "readingCount": len(times),
            "counterResets": flags.counter_resets,
        },
        "hourlyBreakdown": hours(found, times),
        "sessions": [share_of(one, found) for one in sessions],
        "coverage": {
            "estimatedAc": estimated,
            "dips": flags.dips,
            "spikes": flags.spikes,
            "implausibleReadings": flags.implausible,
            "rejectedReadings": rejected,
            "correctedReadings": sum(map(window.has, device.corrected())),
            "observedSeconds": typical(between),
        },
        "alerts": [
            {
                "code": code,
                "certain": not flags.implausible
                and not rejected
                and estimated <= ESTIMATED_SHARE * inside,
            }
            for code, raised in (
                ("implausible_energy", bool(flags.implausible)),
                ("cadence_mismatch", mismatch(between, fleet.pace(device))),
            )
            if raised
        ],
    }


def hours(shares: list[Share], times: list[datetime]) -> list[dict[str, Any]]:
    found = {hour_of(share.instant) for share in shares} | {hour_of(time) for time in times}
    return [
        {
            "hour": hour,
            "energyAc": total(s.energy for s in shares if hour_of(s.instant) == hour),
            "readings": sum(hour_of(time) == hour for time in times),
        }
        for hour in sorted(found)
    ]


def share_of(session: Session, shares: list[Share]) -> dict[str, Any]:
    mine = [share for share in shares if share.session == session]
    return {
        "vehicleId": session.vehicle,
        "startedAt": session.start,
        "endedAt": session.end,
        "energyAc": total(share.energy for share in mine),
        "acReadings": readings_of(mine),
    }
