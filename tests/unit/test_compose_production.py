"""docker-compose.production.yml, merged with what it lies on; no Docker engine is needed."""

import re
from typing import Any

import pytest

from schemas.settings import Settings, secrets_of
from tests.compose import BASE, DONE, PRODUCTION, ROOT, filled, read, read_merged

COMPOSE = read_merged()
SERVICES: dict[str, Any] = COMPOSE["services"]
ROLES = {
    "migrate": "energy_owner",
    "grant": "energy_owner",
    "keys": "energy_owner",
    "worker": "energy_worker",
    "api": "energy_api",
}
SECRETS = {
    "kafka": set(),
    "topics": set(),
    "postgres": {"postgres", "energy_owner", "energy_worker", "energy_api", "energy_reader"},
    "migrate": {"energy_owner"},
    "grant": {"energy_owner"},
    "keys": {"energy_owner"},
    "worker": {"energy_worker", "metrics_token"},
    "api": {"energy_api"},
    "prometheus": {"metrics_token", "metrics_key"},
    "alertmanager": set(),
    "grafana": {"grafana"},
    "postgres-exporter": {"energy_reader"},
    "node-exporter": set(),
}
OTHERS_SECRETS = {"POSTGRES_PASSWORD", "DATA_SOURCE_PASS", "GF_SECURITY_ADMIN_PASSWORD"}
"""What images that are not ours take a password by, with _FILE after it."""


def test_nothing_is_published_but_the_api() -> None:
    published = {name for name, service in SERVICES.items() if service.get("ports")}
    assert published == {"api", "grafana"}
    assert [port.partition(":")[0] for port in SERVICES["grafana"]["ports"]] == ["127.0.0.1"]
    assert SERVICES["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    (port,) = SERVICES["api"]["ports"]
    assert filled(port) == "127.0.0.1:3000:3000"
    assert filled(port, APP_PUBLISH="0.0.0.0", APP_PORT="443") == "0.0.0.0:443:443"


def test_keys_are_demanded_and_names_have_to_be_given() -> None:
    environment = SERVICES["api"]["environment"]
    assert environment["APP_AUTH"] == "keys"
    hosts = filled(environment["APP_ALLOWED_HOSTS"], APP_ALLOWED_HOSTS="fleet.example")
    assert hosts == "fleet.example,127.0.0.1,api"  # the others are for health check and Prometheus
    with pytest.raises(AssertionError, match="APP_ALLOWED_HOSTS is missing"):
        filled(environment["APP_ALLOWED_HOSTS"])


def test_each_service_is_given_its_own_secrets_alone() -> None:
    assert {name: set(service.get("secrets", [])) for name, service in SERVICES.items()} == SECRETS
    assert set(COMPOSE["secrets"]) == set().union(*SECRETS.values())
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    mounts = {
        name: [mount for mount in service.get("volumes", []) if mount.startswith("./secrets")]
        for name, service in SERVICES.items()
    }
    kafka = "./secrets/kafka:/secrets/kafka:ro"
    assert {name: found for name, found in mounts.items() if found} == {
        "worker": [kafka],
        "api": [kafka, "./secrets/tls:/secrets/tls:ro"],
    }
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_secret_is_in_the_environment() -> None:
    names = [*(name.upper() for name in secrets_of(Settings)), *OTHERS_SECRETS]
    for service, described in SERVICES.items():
        environment = described.get("environment", {})
        assert [name for name in names if environment.get(name)] == []
        for name, value in environment.items():
            if name.endswith("_FILE") and value:
                assert name.removesuffix("_FILE").rstrip("_") in names
                assert value.removeprefix("/run/secrets/") in SECRETS[service]


def test_each_service_has_its_own_role() -> None:
    for service, role in ROLES.items():
        environment = SERVICES[service]["environment"]
        assert environment["DB_USERNAME"] == role
        assert environment["DB_PASSWORD_FILE"] == f"/run/secrets/{role}"
    (mount,) = [one for one in SERVICES["postgres"]["volumes"] if one.startswith("./deploy")]
    source, target, _ = mount.split(":")
    assert target.startswith("/docker-entrypoint-initdb.d/")
    made = set(re.findall(r"'(energy_\w+)'", (ROOT / source).read_text()))
    assert made == SECRETS["postgres"] - {SERVICES["postgres"]["environment"]["POSTGRES_USER"]}
    command = SERVICES["grant"]["command"]
    granted = dict(zip(command[4::2], command[5::2], strict=True))
    assert granted == {f"--{name}": f"energy_{name}" for name in ("worker", "api", "reader")}


def test_the_first_key_is_made_before_the_api_starts() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    below = read(BASE)["services"]
    for name in ("worker", "api"):
        assert needs[name].items() >= below[name]["depends_on"].items()
        assert needs[name]["grant"] == {"condition": DONE}
    assert needs["api"]["keys"] == {"condition": DONE}
    for name in ("grant", "keys"):
        assert needs[name]["migrate"] == {"condition": DONE}
        assert "restart" not in SERVICES[name] and "healthcheck" not in SERVICES[name]
    command = SERVICES["keys"]["command"]
    volume = dict(mount.split(":") for mount in SERVICES["keys"]["volumes"])
    assert volume.keys() <= COMPOSE["volumes"].keys()
    assert command[command.index("--file") + 1].startswith(f"{volume['keys']}/")
    assert f"--mode 700 {volume['keys']}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_added_is_as_locked_as_what_it_lies_on(name: str) -> None:
    below = read(BASE)["services"]["migrate"]
    for what in ("read_only", "cap_drop", "security_opt", "pids_limit"):
        assert SERVICES[name][what] == below[what]
    assert SERVICES[name]["mem_limit"]
    added = read(PRODUCTION)["services"].get(name, {})
    assert added.keys().isdisjoint({"privileged", "cap_add", "user", "read_only", "network_mode"})
