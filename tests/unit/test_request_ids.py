"""The id of a request: the client's own or a made one, in its answer and in every line about it."""

import asyncio
import logging

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.requests import MAX_LINES_PER_S, Requests
from reporting.logs import REQUEST

OPENING, END = {"type": "http.response.start", "headers": []}, {"type": "http.response.body"}


def answering(status: int) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {**OPENING, "status": status, "headers": [(b"x", (REQUEST.get() or "").encode())]}
        )
        await send(END)

    return Requests(app)


def ask(app: ASGIApp, *given: str, path: str = "/v1/x") -> httpx.Response:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get(
                path, headers=[(b"X-Request-Id", one.encode()) for one in given]
            )

    return asyncio.run(get())


@pytest.mark.parametrize("fit", ["order-66", "a" * 128, "0af7:1/2+3=@b._"])
def test_an_id_that_fits_is_kept(fit: str) -> None:
    answer = ask(answering(200), fit)
    assert answer.headers.get_list("x-request-id") == [fit] == [answer.headers["x"]]


@pytest.mark.parametrize("given", [(), ("a", "b"), ("a b",), ("a" * 129,), ("",), ("é",), ('"',)])
def test_any_other_is_replaced(given: tuple[str, ...]) -> None:
    app = answering(200)
    (made,), (other,) = (ask(app, *given).headers.get_list("x-request-id") for _ in range(2))
    assert made not in given and len(made) == 16 and made != other


def test_failures_are_said_with_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    app = answering(503)
    for _ in range(MAX_LINES_PER_S * 2):
        ask(app)
    first = caplog.records[0]
    assert (first.levelno, vars(first)["path"], vars(first)["status"]) == (
        logging.WARNING,
        "/v1/x",
        503,
    )
    assert len(caplog.records) < MAX_LINES_PER_S * 2
    caplog.clear()
    for quiet in (answering(200), answering(404)):
        ask(quiet)
    ask(answering(503), path="/health/ready")
    assert not caplog.records
