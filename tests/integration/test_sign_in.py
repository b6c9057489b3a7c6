"""Signing in on the page: a key for a cookie, how long that is good, and what it is good for."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.keys import NOBODYS, Key, bearer, keys, make_key, revoke
from tests.workers import wait_until

SESSION = "/v1/session"
READ = WRITE = "/v1/devices/meters"


@pytest.fixture(scope="module")
def demanding(environment: dict[str, str]) -> Iterator[ApiProcess]:
    make_key(environment, "operator")
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as running:
        yield running


@pytest.fixture
def browser(demanding: ApiProcess) -> Iterator[httpx.Client]:
    """A client with cookies of its own."""
    with httpx.Client(base_url=demanding.http.base_url) as client:
        yield client


def sign_in(browser: httpx.Client, key: Key) -> httpx.Response:
    answer = browser.post(SESSION, json={"key": key["key"]})
    assert answer.status_code == 201, answer.text
    return answer


def signed_in(browser: httpx.Client) -> bool:
    """Fails unless the two ways to see it agree, while it does not change."""
    seen = ["name" in browser.get(SESSION).json()]
    while True:
        status = browser.get(READ).status_code
        seen.append("name" in browser.get(SESSION).json())
        if seen[-1] == seen[-2]:
            assert status == (200 if seen[-1] else 401)
            return seen[-1]


def stored(environment: dict[str, str]) -> list[Any]:
    with connect(environment) as connection:
        return connection.execute("SELECT hash, expires_at FROM api_sign_ins").fetchall()


def test_a_cookie_stands_for_the_key_until_its_owner_signs_out(
    browser: httpx.Client, environment: dict[str, str], demanding: ApiProcess
) -> None:
    analyst = make_key(environment, "analyst")
    assert browser.get(SESSION).json() == {"demanded": True}
    assert not signed_in(browser)
    answer = sign_in(browser, analyst)
    cookie = answer.headers["Set-Cookie"]
    token = browser.cookies["eie_session"]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "max-age=43200", "path=/", "samesite=strict"}
    body = answer.json()
    assert (body["name"], body["role"]) == (analyst["name"], "analyst")
    assert browser.get(SESSION).json() == {"demanded": True, **body}
    assert browser.get(READ).status_code == 200
    assert browser.post(WRITE, json={"meterId": "M"}).status_code == 403
    assert token not in str(stored(environment)) and len(bytes.fromhex(token)) == 32
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as other:
        cookies = {"Cookie": f"eie_session={token}"}
        assert other.http.get(READ, headers=cookies).status_code == 200
        gone = browser.delete(SESSION)
        assert gone.status_code == 204 and "eie_session" not in browser.cookies
        assert demanding.http.get(READ, headers=cookies).status_code == 401
        wait_until(lambda: other.http.get(READ, headers=cookies).status_code == 401, "there, too")
    assert browser.delete(SESSION).status_code == 204


def test_who_cannot_sign_in(browser: httpx.Client, environment: dict[str, str]) -> None:
    for role in ("gateway", "metrics"):
        key = make_key(environment, role)["key"]
        assert check_problem(browser.post(SESSION, json={"key": key}), 403)
    ended = make_key(environment, "operator")
    revoke(environment, ended)
    for key in (NOBODYS, "a password", "", ended["key"]):
        answer = browser.post(SESSION, json={"key": key})
        assert check_problem(answer, 401) and "Set-Cookie" not in answer.headers
        assert "WWW-Authenticate" in answer.headers
    secret = ended["key"]
    for bad in ({"key": [secret]}, {"key": secret * 5}, {"key": 1, "role": secret}, [secret]):
        answer = browser.post(SESSION, json=bad)
        assert check_problem(answer, 400) and secret not in answer.text


@pytest.mark.parametrize("role", ["analyst", "operator"])
def test_a_sign_in_is_good_for_as_long_as_its_secret(
    browser: httpx.Client, environment: dict[str, str], role: str
) -> None:
    key = make_key(environment, role)
    sign_in(browser, key)
    new = keys(environment, "rotate", key["id"], "--grace", "1h")
    assert signed_in(browser)
    with httpx.Client(base_url=browser.base_url) as newer:
        sign_in(newer, new)
        with connect(environment) as connection:
            past = "UPDATE api_keys SET previous_expires_at = now() WHERE id = %s"
            connection.execute(past, (key["id"],))
        wait_until(lambda: not signed_in(browser), "the grace is over")
        assert signed_in(newer)
        revoke(environment, key)
        wait_until(lambda: not signed_in(newer), "the key is revoked")


def test_a_sign_in_expires(browser: httpx.Client, environment: dict[str, str]) -> None:
    soon = make_key(environment, "analyst", "--expires", "1h")
    assert sign_in(browser, soon).json()["expiresAt"] == soon["expiresAt"]
    with connect(environment) as connection:
        connection.execute("UPDATE api_sign_ins SET expires_at = now()")
    wait_until(lambda: not signed_in(browser), "it has expired")
    sign_in(browser, make_key(environment, "analyst"))
    assert len(stored(environment)) == 1  # what is over was forgotten


def test_one_key_has_a_bounded_number_of_sign_ins(
    browser: httpx.Client, environment: dict[str, str]
) -> None:
    key = make_key(environment, "analyst")
    with connect(environment) as connection:
        connection.execute(
            "INSERT INTO api_sign_ins (hash, key_id, key_hash, created_at, expires_at)"
            " SELECT sha256(n::text::bytea), %s, hash, now() - n * interval '1 minute',"
            " now() + interval '1 hour' FROM api_keys, generate_series(1, 150) AS n WHERE id = %s",
            (key["id"], key["id"]),
        )
    sign_in(browser, key)
    assert signed_in(browser)
    with connect(environment) as connection:
        count = "SELECT count(*) FROM api_sign_ins WHERE key_id = %s"
        assert connection.execute(count, (key["id"],)).fetchone() == (100,)


def test_under_tls_the_cookie_is_of_this_host_alone(environment: dict[str, str]) -> None:
    """A proxy says that its client speaks TLS."""
    trusting = {**environment, "APP_AUTH": "keys", "APP_TRUSTED_PROXIES": "127.0.0.1"}
    key = make_key(environment, "analyst")
    with ApiProcess(trusting) as running:
        https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1"}
        answer = running.http.post(SESSION, json={"key": key["key"]}, headers=https)
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-eie_session=") and "Secure" in cookie
        token = cookie.partition("=")[2].partition(";")[0]
        sent = {"Cookie": f"__Host-eie_session={token}"}
        assert running.http.get(READ, headers=https | sent).status_code == 200
        assert running.http.get(READ, headers=sent).status_code == 401
        plain = {"Cookie": f"eie_session={token}"}
        assert running.http.get(READ, headers=https | plain).status_code == 401


def test_where_no_key_is_demanded_a_cookie_may_come_but_need_not(
    environment: dict[str, str],
) -> None:
    with ApiProcess(environment) as running:
        assert running.http.get(SESSION).json() == {"demanded": False}
        sign_in(running.http, make_key(environment, "analyst"))
        assert running.http.get(SESSION).json()["role"] == "analyst"
        assert running.http.post(WRITE, json={"meterId": "M"}).status_code == 403
        assert running.http.delete(SESSION).status_code == 204
        assert running.http.post(WRITE, json={"meterId": "M"}).status_code == 201


def test_a_key_beside_a_cookie_is_what_counts(
    browser: httpx.Client, environment: dict[str, str]
) -> None:
    sign_in(browser, make_key(environment, "operator"))
    assert browser.get(READ, headers=bearer(make_key(environment, "gateway"))).status_code == 403
    assert browser.get(READ, headers=bearer(NOBODYS)).status_code == 401
