"""What a key may cost: requests in flight, and how many a second.

So one script cannot take what others need: of the 20 connections that a process pools by default it
gets 8 at most. A request too many waits a moment for its turn, so that a browser's many small ones
are not turned away; then it is told to come back. Callers without a key have no such bounds.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.http.errors import RETRY_AFTER_S, too_many
from api.metrics import IN_FLIGHT, RATE, Metrics
from schemas.keys import Caller, Role

TURN_WAIT_S = 1.0
WAITING_PER_PLACE = 4


@dataclass(frozen=True)
class Allowance:
    """What one key may do at a time, in the long run a second, and at once after a pause."""

    in_flight: int
    per_s: float
    burst: int


ALLOWANCES = {
    # Gateways wait for Kafka alone, and one key may stand for a whole site of them.
    Role.GATEWAY: Allowance(64, 1000, 5000),
    # The page asks for a few things every other second, in each tab; a wall of screens may share a
    # key. A client that sends one request after the other has hundreds before it is slowed.
    Role.ANALYST: Allowance(8, 100, 2000),
    # Beside that, whoever sets a fleet up registers thousands of devices, one after the other.
    Role.OPERATOR: Allowance(8, 200, 5000),
    # A scrape every few seconds, by several servers.
    Role.METRICS: Allowance(4, 10, 100),
}


class _Account:
    """What one key has used of its allowance."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._left = float(allowance.burst)
        self._at = time.monotonic()
        self._waiting = 0
        self.places = asyncio.Semaphore(allowance.in_flight)

    def wait_s(self) -> float:
        """Take one request of the rate: 0, or how long it takes until there is one."""
        now = time.monotonic()
        earned = (now - self._at) * self._allowance.per_s
        self._left, self._at = min(self._allowance.burst, self._left + earned), now
        if self._left < 1:
            return (1 - self._left) / self._allowance.per_s
        self._left -= 1
        return 0.0

    async def place(self) -> bool:
        """Wait for a place among those in flight; False when there is none soon."""
        if self._waiting >= self._allowance.in_flight * WAITING_PER_PLACE:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN_WAIT_S):
                return await self.places.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1


class Accounts:
    """What each key has used."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._accounts: dict[tuple[str, Role], _Account] = {}

    @asynccontextmanager
    async def charged(self, caller: Caller) -> AsyncIterator[None]:
        """One request of the caller, until its answer is wholly sent. Raises ApiError 429."""
        if caller.key_id is None or caller.role is None:
            yield
            return
        name = (caller.key_id, caller.role)
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(ALLOWANCES[caller.role])
        if wait_s := account.wait_s():
            self._metrics.limited.labels(caller.role, RATE).inc()
            raise too_many(
                "This key sends too many requests", min(RETRY_AFTER_S, math.ceil(wait_s))
            )
        if not await account.place():
            self._metrics.limited.labels(caller.role, IN_FLIGHT).inc()
            raise too_many("This key has too many requests under way", 1)
        try:
            yield
        finally:
            account.places.release()
