"""Every route by every kind of caller, from the table of routes itself, against a running API."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from api.app import Parts, routes
from api.http.endpoint import Endpoint
from api.routes.docs import ASSETS_PATH
from schemas.keys import Access, Role
from schemas.settings import Settings
from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.keys import NOBODYS, Key, bearer, client_from, keys, make_key, revoke

ID = "0190f3a2-5b1c-7c3e-9d4f-2a6b8c0d1e2f"
OPEN = (
    "/",
    "/static/app.js",
    "/docs",
    f"{ASSETS_PATH}/swagger-ui.css",
    "/openapi.json",
    "/asyncapi.json",
)
MAX_QUICK = 15
"""Refused requests from one address, fewer than those that are answered at once."""


class Asked(NamedTuple):
    method: str
    path: str
    access: Access


class Asker(NamedTuple):
    headers: dict[str, str]
    role: Role | None
    """None: it is to be refused with 401 where a key is needed."""


async def table() -> list[Asked]:
    """Every method of every path, HEAD too."""
    found = [
        Asked(
            method, path.replace("{id}", ID).replace("{exchangeId}", ID), Endpoint(handler).access
        )
        for path, methods in routes(Parts(Settings())).items()
        for method, handler in methods.items()
    ]
    found += [Asked("GET", path, Access.OPEN) for path in OPEN]
    return found + [asked._replace(method="HEAD") for asked in found if asked.method == "GET"]


TABLE = asyncio.run(table())


@pytest.fixture(scope="module")
def askers(environment: dict[str, str]) -> dict[str, Asker]:
    """Every kind of caller by name."""
    made = {role: make_key(environment, role) for role in Role}
    late, ended, old, older = (make_key(environment, "operator") for _ in range(4))
    revoke(environment, ended)
    new: Key = keys(environment, "rotate", old["id"], "--grace", "1h")
    newest: Key = keys(environment, "rotate", older["id"], "--grace", "0")
    with connect(environment) as connection:
        past = "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = %s"
        connection.execute(past, (late["id"],))
    other_secret = made[Role.OPERATOR]["key"][:-64] + NOBODYS[-64:]
    return {
        **{role.value: Asker(bearer(key), role) for role, key in made.items()},
        "rotated, in its grace": Asker(bearer(old), Role.OPERATOR),
        "rotated, the new secret": Asker(bearer(new), Role.OPERATOR),
        "rotated without a grace, the new secret": Asker(bearer(newest), Role.OPERATOR),
        "rotated, after its grace": Asker(bearer(older), None),
        "none": Asker({}, None),
        "wrong": Asker(bearer(NOBODYS), None),
        "another secret": Asker(bearer(other_secret), None),
        "expired": Asker(bearer(late), None),
        "revoked": Asker(bearer(ended), None),
        "no key": Asker({"Authorization": "Basic b3BlcmF0b3I6"}, None),
    }


@pytest.fixture(scope="module")
def process(environment: dict[str, str], askers: dict[str, Asker]) -> Iterator[ApiProcess]:
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as running:
        yield running


def wanted(asker: Asker, access: Access) -> int | None:
    """401, 403, or None for any other status but these and 429."""
    if access.value is None:
        return None
    if asker.role is None:
        return 401
    return None if asker.role in access.value else 403


def test_the_whole_matrix(process: ApiProcess, askers: dict[str, Asker]) -> None:
    def ask(numbered: tuple[int, tuple[str, Asker]]) -> list[str]:
        number, (name, asker) = numbered
        wrong = []
        for start in range(0, len(TABLE), MAX_QUICK):
            with client_from(f"127.0.{number + 1}.{start + 1}", process.http) as http:
                for method, path, access in TABLE[start : start + MAX_QUICK]:
                    got = http.request(method, path, headers=asker.headers).status_code
                    status = wanted(asker, access)
                    good = got == status if status else got not in (401, 403, 429)
                    if not good:
                        wrong.append(f"{name}: {method} {path}: {got}, not {status or 'allowed'}")
        return wrong

    assert len(TABLE) > 70
    with ThreadPoolExecutor(len(askers)) as at_once:
        wrong = [line for lines in at_once.map(ask, enumerate(askers.items())) for line in lines]
    assert wrong == []


def test_each_role_may_do_something_and_no_role_everything() -> None:
    for role in Role:
        mine = [asked for asked in TABLE if asked.access.value and role in asked.access.value]
        others = [asked for asked in TABLE if asked.access.value and asked not in mine]
        assert mine, role
        assert others, role


def test_what_a_refusal_says(process: ApiProcess, askers: dict[str, Asker]) -> None:
    """The secret's owner hears what is the matter; a stranger cannot tell which ids there are."""
    challenge = 'Bearer realm="energy-ingestion"'
    said = {}
    with client_from("127.0.99.1", process.http) as http:
        for name, asker in askers.items():
            if asker.role is None:
                answer = http.get("/v1/sessions", headers=asker.headers)
                said[name] = check_problem(answer, 401)["message"]
                sent = "Authorization" in asker.headers
                shown = challenge + (', error="invalid_token"' if sent else "")
                assert answer.headers["WWW-Authenticate"] == shown
    assert said["wrong"] == said["another secret"]
    for name in ("expired", "revoked", "rotated"):
        assert name in next(text for one, text in said.items() if one.startswith(name)), said
    assert "key is needed" in said["none"]
    gateway = process.http.get("/v1/sessions", headers=askers["gateway"].headers)
    assert "gateway" in check_problem(gateway, 403)["message"]


def test_a_key_comes_in_one_way_alone(process: ApiProcess, askers: dict[str, Asker]) -> None:
    key = askers["analyst"].headers["Authorization"].removeprefix("Bearer ")
    with client_from("127.0.99.2", process.http) as http:
        for scheme in ("bearer", "BEARER"):
            answer = http.get("/v1/sessions", headers={"Authorization": f"{scheme} {key}"})
            assert answer.status_code == 200
        twice = [("Authorization", f"Bearer {key}")] * 2
        for headers in (twice, [("Authorization", key)], [("Authorization", f"Bearer {key} x")]):
            assert http.get("/v1/sessions", headers=headers).status_code == 401
        for name in ("key", "token", "access_token"):
            answer = http.get("/v1/sessions", params={name: key})
            assert answer.status_code == 401 and key not in answer.text
