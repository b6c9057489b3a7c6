"""No secret is anywhere but where it was handed out: logs, metrics, answers, lists of processes."""

from pathlib import Path

import httpx

from tests.api_process import ApiProcess
from tests.connections import connect
from tests.keys import NOBODYS, bearer, keys, make_key, revoke

PATHS = (
    "/v1/devices/meters",
    "/health",
    "/metrics",
    "/v1/nowhere",
    "/v1/sessions/x",
    "/v1/session",
)


def command_lines() -> str:
    """Those of all processes that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile
    return "\n".join(found)


def test_no_secret_gets_out(own_environment: dict[str, str]) -> None:
    """Of keys of all kinds and of a sign-in, with the log at its most talkative."""
    operator, gateway, old, ended = (
        make_key(own_environment, role) for role in ("operator", "gateway", "operator", "operator")
    )
    new = keys(own_environment, "rotate", old["id"], "--grace", "0")
    revoke(own_environment, ended)
    talkative = {**own_environment, "APP_AUTH": "keys", "LOG_LEVEL": "debug"}
    answers: list[httpx.Response] = []
    with ApiProcess(talkative) as running:
        http = running.http
        for key in (operator, gateway, old, new, ended, NOBODYS):
            for path in PATHS:
                answers.append(http.get(path, headers=bearer(key)))
                answers.append(http.put(path, headers=bearer(key)))
        bodies = ({"key": ended["key"]}, {"key": [new["key"]]}, {"key": 1, "x": new["key"]})
        answers += [http.post("/v1/session", json=body) for body in bodies]
        headers = (gateway["key"], f"Basic {gateway['key']}", f"Bearer {gateway['key']}x")
        answers += [http.get(PATHS[0], headers={"Authorization": header}) for header in headers]
        signed = http.post("/v1/session", json={"key": operator["key"]})
        token = http.cookies["eie_session"]
        answers += [signed, http.get("/v1/session"), http.get("/metrics")]
        with connect(own_environment) as connection:
            connection.execute("ALTER TABLE api_sign_ins RENAME TO sign_ins_away")
        answers.append(http.post("/v1/session", json={"key": operator["key"]}))
        running.says("degraded: reading the keys")
        seen = [running.log, command_lines(), *(answer.text for answer in answers)]
    assert signed.status_code == 201 and answers[-1].status_code >= 500
    secrets = {
        name: key["key"].split("_")[2]
        for name, key in {"operator": operator, "gateway": gateway, "old": old, "new": new}.items()
    }
    secrets |= {"ended": ended["key"].split("_")[2], "token": token, "made up": NOBODYS[-64:]}
    everything = "\n".join(seen)
    assert len(answers) > 70 and operator["id"] not in command_lines()
    assert [name for name, secret in secrets.items() if secret in everything] == []
