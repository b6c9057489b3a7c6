"""What a browser is kept from: requests by other names, changes by other sites' pages, and all that
the headers of an answer forbid it.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.routes import analytics
from schemas.settings import Settings
from serving.headers import HEADERS
from serving.refusals import refusal
from tests.answers import check_problem

PATH = "/v1/analytics/limits"
"""It needs neither PostgreSQL nor Kafka, and has GET alone: 405 means that a POST got through."""
SOME_HOST = ("Host", "localhost:3000")
TLS_HOST = ("Host", "fleet.example")


def ask(
    method: str = "GET",
    path: str = PATH,
    headers: Iterable[tuple[str, str]] = (SOME_HOST,),
    scheme: str = "http",
    **settings: Any,
) -> httpx.Response:
    async def answer() -> httpx.Response:
        app = create_app(Settings(**settings))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            request = client.build_request(method, f"{scheme}://localhost{path}")
            del request.headers["Host"]
            request.headers = httpx.Headers([*request.headers.multi_items(), *headers])
            return await client.send(request)

    return asyncio.run(answer())


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("", "localhost"),
        ("", "LocalHost:4000"),
        ("", "127.0.0.1:1"),
        ("", "[::1]:3000"),
        ("Fleet.Example", "fleet.example:8443"),
        (" a.example , b.example:3000 ", "b.example:3000"),
        ("b.example:80", "b.example"),
        ("*.fleet.example", "a.b.fleet.example:3000"),
        ("[fd00::1]:3000", "[fd00::1]:3000"),
    ],
)
def test_a_name_that_is_ours(allowed: str, host: str) -> None:
    assert ask(headers=[("Host", host)], app_allowed_hosts=allowed).status_code == 200


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::1"])
def test_the_address_it_listens_on_is_its_own_name(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert ask(headers=[("Host", f"{host}:3000")], app_host=address, app_auth="off").is_success
    assert ask(headers=[("Host", "10.1.2.4")], app_host=address, app_auth="off").status_code == 421


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("", "evil.example"),
        ("", "localhost.evil.example"),
        ("", "127.0.0.1.evil.example:3000"),
        ("", "x@localhost"),
        ("", "localhost, evil.example"),
        ("", "localhost/"),
        ("", ""),
        ("", "127.0.0.2"),
        ("fleet.example", "localhost"),
        ("b.example:3000", "b.example:3001"),
        ("b.example:3000", "b.example"),
        ("*.fleet.example", "fleet.example"),
        ("*.fleet.example", ".fleet.example"),
        ("*.fleet.example", "evil/.fleet.example"),
        ("*.fleet.example", "evilfleet.example"),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/", "/docs", "/docs/assets/swagger-ui.css", "/nope"])
def test_a_name_that_is_not_ours(allowed: str, host: str, path: str) -> None:
    body = check_problem(ask(path=path, headers=[("Host", host)], app_allowed_hosts=allowed), 421)
    assert "APP_ALLOWED_HOSTS" in body["message"] and body["path"] == path


@pytest.mark.parametrize("headers", [[], [SOME_HOST, SOME_HOST], [SOME_HOST, ("Host", "evil")]])
def test_no_host_or_several(headers: list[tuple[str, str]]) -> None:
    check_problem(ask(headers=headers), 400)


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
        [("Origin", "")],
        [("Origin", "http://localhost")],
        [("Origin", "http://localhost:3001")],
        [("Origin", "http://127.0.0.1:3000")],
        [("Origin", "chrome-extension://localhost:3000x")],
        [("Origin", "http://localhost:3000"), ("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
    ],
)
def test_another_sites_page_changes_nothing(headers: list[tuple[str, str]]) -> None:
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        answer = ask(method, headers=[SOME_HOST, *headers])
        assert "another site" in check_problem(answer, 403)["message"]
        assert not any(name.startswith("access-control") for name in answer.headers)
    assert ask(headers=[SOME_HOST, *headers]).status_code == 200


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        ("http", [SOME_HOST]),
        ("http", [SOME_HOST, ("Origin", "http://localhost:3000")]),
        ("http", [SOME_HOST, ("Origin", "HTTP://LocalHost:3000")]),
        ("http", [SOME_HOST, ("Sec-Fetch-Site", "same-origin")]),
        ("http", [SOME_HOST, ("Sec-Fetch-Site", "none")]),
        ("http", [("Host", "[::1]:80"), ("Origin", "http://[::1]")]),
        ("https", [TLS_HOST, ("Origin", "https://fleet.example")]),
        ("https", [TLS_HOST, ("Origin", "https://fleet.example:443")]),
        ("http", [TLS_HOST, ("Origin", "https://fleet.example")]),  # a proxy that is not trusted
    ],
)
def test_our_own_pages_and_programs_get_through(
    scheme: str, headers: list[tuple[str, str]]
) -> None:
    names = "localhost,[::1],fleet.example"
    assert ask("POST", headers=headers, scheme=scheme, app_allowed_hosts=names).status_code == 405


def test_a_page_without_tls_is_another_site() -> None:
    headers = [TLS_HOST, ("Origin", "http://fleet.example:443")]
    answer = ask("POST", headers=headers, scheme="https", app_allowed_hosts="fleet.example")
    check_problem(answer, 403)


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
@pytest.mark.parametrize("path", [PATH, "/nope", "/static/none.js"])
def test_the_headers_of_every_answer(path: str, host: str) -> None:
    answer = ask(path=path, headers=[("Host", host)])
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "Strict-Transport-Security" not in answer.headers


def test_an_error_that_nobody_foresaw_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "AnalyticsLimits", lambda: 1 / 0)
    answer = ask()
    check_problem(answer, 500)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_pages_say_what_they_need_and_are_kept() -> None:
    for path in ("/", "/docs"):
        answer = ask(path=path)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "form-action 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Frame-Options"] == "DENY"
    tag = ask(path="/").headers["ETag"]
    again = ask(path="/", headers=[SOME_HOST, ("If-None-Match", tag)])
    assert again.status_code == 304
    policy = ask(path="/").headers["Content-Security-Policy"]
    assert again.headers["Content-Security-Policy"] == policy
    for path in ("/static/app.js", "/docs/assets/swagger-ui-bundle.js"):
        assert ask(path=path).headers["Cache-Control"] == "no-cache"


def test_https_is_kept_to() -> None:
    kept = "Strict-Transport-Security"
    answer = ask(headers=[TLS_HOST], scheme="https", app_allowed_hosts="fleet.example")
    assert answer.headers[kept] == "max-age=31536000"
    assert kept not in ask(scheme="https").headers  # by localhost


def test_a_refusal_before_there_is_a_request_has_them() -> None:
    lines = refusal(408, "late").decode().split("\r\n")
    assert [f"{name}: {value}" for name, value in HEADERS.items()] == [
        line for line in lines if line.split(":")[0] in HEADERS
    ]
