"""Large bodies wait for room, in their order, and give it back whatever becomes of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from starlette.types import Message, Scope

from api.http import bodies
from api.http.bodies import FREE_BYTES, Body, Budget
from api.http.errors import ApiError

LIMIT = 4 * FREE_BYTES
PIECE = FREE_BYTES // 2


def chunks(sizes: Iterable[int]) -> Callable[[], Awaitable[Message]]:
    """A `receive` that hands out pieces of these sizes, and fails after them."""
    left = list(sizes)

    async def receive() -> Message:
        size = left.pop(0)
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(left)}

    return receive


def scope(announced: int | None) -> Scope:
    name, value = (b"content-length", b"%d" % (announced or 0))
    return {"headers": [(b"transfer-encoding", b"chunked") if announced is None else (name, value)]}


async def read(body: Body) -> int:
    size, more = 0, True
    while more:
        message = await body.receive()
        size, more = size + len(message["body"]), message["more_body"]
    return size


def test_room_is_given_in_the_order_it_was_asked_for() -> None:
    async def run() -> list[str]:
        budget, order = Budget(100), list[str]()

        async def take(name: str, size: int) -> None:
            await budget.take(size)
            order.append(name)

        await budget.take(80)
        waiting = [asyncio.create_task(take(*each)) for each in (("large", 90), ("small", 10))]
        await asyncio.sleep(0)
        assert order == []
        waiting.append(asyncio.create_task(take("gone", 10)))
        await asyncio.sleep(0)
        waiting.pop().cancel()
        budget.give_back(80)
        await asyncio.gather(*waiting)
        await budget.take(0)
        return order

    assert asyncio.run(run()) == ["large", "small"]


def test_no_room_in_time_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "ROOM_WAIT_S", 0.05)

    async def run() -> None:
        budget = Budget(100)
        await budget.take(100)
        with pytest.raises(ApiError) as caught:
            await budget.take(1)
        assert caught.value.status == 503 and "Retry-After" in caught.value.headers
        budget.give_back(100)
        await budget.take(100)

    asyncio.run(run())


@pytest.mark.parametrize("announced", [8 * PIECE, None])
def test_only_what_is_beyond_the_beginning_needs_room(
    monkeypatch: pytest.MonkeyPatch, announced: int | None
) -> None:
    monkeypatch.setattr(bodies, "ROOM_WAIT_S", 0.05)

    async def run() -> None:
        budget = Budget(LIMIT)
        first = Body(scope(announced), chunks([PIECE] * 8), LIMIT, budget)
        assert await read(first) == 8 * PIECE
        second = Body(scope(announced), chunks([PIECE] * 8), LIMIT, budget)
        for _ in range(3):
            await second.receive()
        with pytest.raises(ApiError, match="Too many large requests"):
            await second.receive()
        small = Body(scope(announced and PIECE), chunks([PIECE]), LIMIT, budget)
        assert await read(small) == PIECE
        first.done()
        first.done()
        await second.receive()
        second.done()
        await budget.take(LIMIT)

    asyncio.run(run())


@pytest.mark.parametrize(("announced", "read_before"), [(LIMIT + 1, 0), (None, LIMIT // PIECE)])
def test_a_body_over_the_limit_is_413(announced: int | None, read_before: int) -> None:
    async def run() -> None:
        body = Body(scope(announced), chunks([PIECE] * 99), LIMIT, Budget(LIMIT))
        for _ in range(read_before):
            await body.receive()
        with pytest.raises(ApiError) as caught:
            await body.receive()
        assert caught.value.status == 413

    asyncio.run(run())
