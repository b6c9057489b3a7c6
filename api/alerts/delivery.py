"""Delivers events of alerts to their targets: each at least once, those of a device in their order.

What a target has yet to get stands in the database. A target that does not work is left alone for
ever longer, up to MAX_PAUSE_S, and tried with one event until it takes it; an event that a target
which works does not take holds up those of its own device alone. Nothing is ever given up.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from api.alerts.life import SQL as ALERTS
from api.alerts.telling import Alertmanager, Event, NotTakenError, Teller, shortened
from api.metrics import DELIVERED, FAILED, Metrics
from api.side_connection import SideConnection
from reporting.waiting import Waiting
from schemas.alerts import RaisedAlert
from sql.named import load

LOOK_EVERY_S = 2.0
AT_ONCE = 8
"""Events on their way to one target."""
FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 300.0
STILL_OPEN_EVERY = timedelta(minutes=1)
"""How often an Alertmanager is told of what is open: it forgets after five minutes by default."""
SQL = load("alert_deliveries")


class Delivery:
    """All targets, and what each has yet to get."""

    def __init__(
        self,
        tellers: Sequence[Teller],
        side: SideConnection,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._tellers = tellers
        self._side = side
        self._metrics = metrics
        self._clock = clock
        self._degraded = Waiting({}, what="degraded")
        self._said_open: dict[str, datetime] = {}
        for teller in tellers:
            for outcome in (DELIVERED, FAILED):
                metrics.alert_deliveries.labels(teller.name, outcome)

    async def begin(self) -> None:
        """Know the targets; those that are new get what is open. Raises psycopg.Error."""
        names = [teller.name for teller in self._tellers]
        await self._side.ask(SQL["know_targets"], {"targets": names})

    async def run(self) -> None:
        """Deliver until cancelled. Raises a group of psycopg.Error or TimeoutError."""
        await self.begin()
        async with asyncio.TaskGroup() as group:  # so that a slow target holds up no other
            for teller in self._tellers:
                group.create_task(self._keep_telling(teller))

    async def _keep_telling(self, teller: Teller) -> None:
        while True:
            await self.tell(teller)
            await asyncio.sleep(LOOK_EVERY_S)

    async def tell(self, teller: Teller) -> None:
        """Tell a target what is due, until nothing is. Raises psycopg.Error, TimeoutError."""
        if isinstance(teller, Alertmanager):
            await self._say_what_is_open(teller)
        await self._side.ask(SQL["queue"], {"target": teller.name})
        while await self._tell_some(teller):
            pass

    async def _tell_some(self, teller: Teller) -> bool:
        """Tell a target what is due; false when nothing is, or the target does not work."""
        one = {"target": teller.name}
        rows = await self._side.ask(SQL["target"], one)
        failures = rows[0]["failures"] if rows else 0
        parameters = one | {"now": self._clock(), "limit": 1 if failures else AT_ONCE}
        due = [_event(row) for row in await self._side.ask(SQL["due"], parameters)]
        worked = await asyncio.gather(*(self._tell_one(teller, event, failures) for event in due))
        return bool(due) and all(worked)

    async def _tell_one(self, teller: Teller, event: Event, failures: int) -> bool:
        """Tell a target one event; false when the target does not work."""
        which: dict[str, Any] = {"target": teller.name, "number": event.number}
        try:
            await teller.tell(event, self._clock())
        except NotTakenError as error:
            self._metrics.alert_deliveries.labels(teller.name, FAILED).inc()
            tries = failures if error.of_target else event.attempts
            next_at = self._clock() + _pause(tries, error.after_s)
            statement = "failed" if error.of_target else "refused"
            about = {"next_at": next_at, "error": shortened(error)}
            await self._side.ask(SQL[statement], which | about)
            self._degraded.missing(f"alerts to {teller.name}", shortened(error))
            return not error.of_target
        self._metrics.alert_deliveries.labels(teller.name, DELIVERED).inc()
        await self._side.ask(SQL["delivered"], which | {"now": self._clock()})
        self._degraded.present(f"alerts to {teller.name}")
        return True

    async def _say_what_is_open(self, teller: Alertmanager) -> None:
        now, said = self._clock(), self._said_open.get(teller.name)
        if said and now < said + STILL_OPEN_EVERY:
            return
        rows = await self._side.ask(ALERTS["told"])
        self._said_open[teller.name] = now
        try:
            if rows:
                await teller.post([RaisedAlert.of_row(row) for row in rows])
        except NotTakenError as error:
            self._degraded.missing(f"alerts to {teller.name}", shortened(error))


def _event(row: dict[str, Any]) -> Event:
    return Event(**row | {"event_id": str(row["event_id"])})


def _pause(tries: int, at_least_s: float) -> timedelta:
    """How long to leave a target alone that has failed so often before: with jitter."""
    longest = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries, 30))
    return timedelta(seconds=max(at_least_s, longest * random.uniform(0.5, 1)))  # noqa: S311
