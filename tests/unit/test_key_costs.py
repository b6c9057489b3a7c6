"""What a key may cost, and what failed attempts do to an address."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from api.http.errors import ApiError
from api.keys import allowances, attempts
from api.keys.allowances import ALLOWANCES, Accounts, Allowance
from api.keys.attempts import MAX_SLOWED, QUICK, Attempts
from api.keys.errors import RefusedKeyError
from api.metrics import IN_FLIGHT, RATE, Metrics
from schemas.keys import ANYBODY, Caller, Refusal, Role

ANALYST = Caller("a" * 12, "An", Role.ANALYST)
OTHER = Caller("b" * 12, "An", Role.ANALYST)
SMALL = Allowance(in_flight=2, per_s=10, burst=5)
WRONG = RefusedKeyError(Refusal.UNKNOWN, "a" * 12)


class Clock:
    """Stands in for the time module."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(allowances, "time", found)
    monkeypatch.setattr(attempts, "time", found)
    monkeypatch.setitem(ALLOWANCES, Role.ANALYST, SMALL)
    return found


async def refused(ask: Callable[[], Awaitable[None]]) -> int:
    """How many seconds to wait; 0 when it was not refused."""
    try:
        await ask()
    except ApiError as error:
        return int(error.headers["Retry-After"]) if error.status == 429 else -1
    return 0


def limited(metrics: Metrics, limit: str) -> float:
    value = metrics.registry.get_sample_value(
        "energy_api_limited_requests_total", {"role": "analyst", "limit": limit}
    )
    assert value is not None
    return value


def test_a_key_has_a_burst_and_then_its_rate(clock: Clock) -> None:
    metrics = Metrics()
    accounts = Accounts(metrics)

    async def one(caller: Caller = ANALYST) -> None:
        async with accounts.charged(caller):
            pass

    async def story() -> None:
        assert [await refused(one) for _ in range(7)] == [0, 0, 0, 0, 0, 1, 1]
        assert await refused(lambda: one(OTHER)) == 0
        clock.now += 0.1
        assert [await refused(one) for _ in range(2)] == [0, 1]
        clock.now += 3600
        assert [await refused(one) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
        assert [await refused(lambda: one(ANYBODY)) for _ in range(50)] == [0] * 50

    asyncio.run(story())
    assert (limited(metrics, RATE), limited(metrics, IN_FLIGHT)) == (4, 0)


def test_a_key_has_places_and_waits_for_one(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    metrics = Metrics()
    accounts = Accounts(metrics)
    wide = Allowance(in_flight=2, per_s=1, burst=1000)
    monkeypatch.setitem(ALLOWANCES, Role.ANALYST, wide)

    async def one() -> None:
        async with accounts.charged(ANALYST):
            pass

    async def story() -> None:
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(accounts.charged(ANALYST))
            async with accounts.charged(OTHER):
                pass
            waiting = [asyncio.create_task(refused(one)) for _ in range(8)]
            await asyncio.sleep(0)
            assert await refused(one) == 1  # no more may wait
            assert not any(task.done() for task in waiting)
            await held.aclose()
            assert await asyncio.gather(*waiting) == [0] * 8
        async with accounts.charged(ANALYST), accounts.charged(ANALYST):
            monkeypatch.setattr(allowances, "TURN_WAIT_S", 0.01)
            assert await refused(one) == 1
        assert await refused(one) == 0

    asyncio.run(story())
    assert (limited(metrics, RATE), limited(metrics, IN_FLIGHT)) == (0, 2)


def test_no_role_but_gateways_takes_half_of_the_pool() -> None:
    assert set(ALLOWANCES) == set(Role)
    for role, allowance in ALLOWANCES.items():
        assert allowance.in_flight < 10 or role is Role.GATEWAY
        assert allowance.burst >= 100 and allowance.per_s >= 1


def test_failures_of_an_address_become_slow_and_are_forgiven(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    pauses: list[float] = []
    going_on = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await going_on.wait()

    monkeypatch.setattr(attempts, "asyncio", type("Fake", (), {"sleep": staticmethod(pause)}))

    async def story() -> None:
        tried = Attempts()
        for _ in range(QUICK):
            await tried.failed("10.0.0.1", WRONG)
        assert not pauses
        slow = [asyncio.create_task(tried.failed("10.0.0.1", WRONG)) for _ in range(MAX_SLOWED)]
        while len(pauses) < MAX_SLOWED:
            await asyncio.sleep(0)
        assert await refused(lambda: tried.failed("10.0.0.1", WRONG)) == 1
        await tried.failed("10.0.0.2", WRONG)
        going_on.set()
        await asyncio.gather(*slow)
        for _ in range(200):  # one after the other is slow, but is answered
            await tried.failed("10.0.0.1", WRONG)
        before = len(pauses)
        clock.now += 3600
        await tried.failed("10.0.0.1", WRONG)
        assert len(pauses) == before

    asyncio.run(story())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("testclient", "unknown", False),
    ],
)
def test_one_machine_has_many_ipv6_addresses(one: str, other: str, same: bool) -> None:
    assert (attempts._network(one) == attempts._network(other)) is same


def test_the_addresses_that_are_remembered_are_bounded(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(attempts, "MAX_ADDRESSES", 50)
    tried = Attempts()

    async def story() -> None:
        for number in range(500):
            await tried.failed(f"10.0.{number // 250}.{number % 250}", WRONG)

    asyncio.run(story())
    assert len(tried._addresses) == 50


def test_many_failures_are_one_line(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tried = Attempts()

    async def story() -> None:
        for number in range(100):
            await tried.failed(f"10.0.0.{number}", WRONG)
        clock.now += 10
        await tried.failed("10.0.0.1", RefusedKeyError(Refusal.MALFORMED))

    asyncio.run(story())
    first, second = caplog.records
    assert vars(first) | {"client": "10.0.0.0", "key": "a" * 12, "reason": "unknown"} == vars(first)
    assert second.getMessage().startswith("100 requests with a wrong key were refused")
