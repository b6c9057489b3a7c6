"""The manifests fit the project: what they name exists, and their settings are taken."""

import asyncio
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from api.app import Parts, routes
from schemas.settings import Settings, load_settings, secrets_of
from sql.grant import KINDS
from tests.workers import ROOT

HERE = ROOT / "deploy" / "kubernetes"
SCHEMAS = HERE / "schemas"
OVERLAYS = ("development", "production")
OURS = ("worker", "api", "migrate")
Resource = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Resource]:
    kubectl = Path(sys.executable).with_name("kubectl")
    words = [str(kubectl), "kustomize", str(HERE / "overlays" / overlay)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def examples() -> list[Resource]:
    return [
        one
        for file in sorted((HERE / "examples").glob("*.yaml"))
        for one in yaml.safe_load_all(file.read_text())
    ]


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    return [one for one in resources if one["kind"] in kinds]


def templates(overlay: str) -> dict[str, Resource]:
    """The pods' templates by the name of what makes them."""
    found = of_kind(rendered(overlay), "Deployment", "Job")
    return {one["metadata"]["name"]: one["spec"]["template"] for one in found}


def containers(overlay: str) -> Iterator[tuple[str, Resource, Resource]]:
    for name, template in templates(overlay).items():
        for container in (
            *template["spec"].get("initContainers", ()),
            *template["spec"]["containers"],
        ):
            yield name, template["spec"], container


def environment(overlay: str, container: Resource) -> dict[str, str]:
    """What the container's process is given; the pod's address is 10.0.0.5."""
    (settings,) = of_kind(rendered(overlay), "ConfigMap")
    given: dict[str, str] = dict(settings["data"])
    own = {"POD_IP": "10.0.0.5"}
    for one in container["env"]:
        if "value" in one:
            own[one["name"]] = re.sub(r"\$\((\w+)\)", lambda m: own[m[1]], one["value"])
        elif "configMapKeyRef" in one["valueFrom"]:
            own[one["name"]] = settings["data"][one["valueFrom"]["configMapKeyRef"]["key"]]
    return given | own


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_setting_exists_and_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, overlay: str
) -> None:
    secrets = {f"{name.upper()}_FILE" for name in secrets_of(Settings)}
    known = {name.upper() for name in Settings.model_fields} | secrets | {"HOSTS", "POD_IP"}
    (tmp_path / "secret").write_text("secret")
    for name, _, container in containers(overlay):
        given = environment(overlay, container)
        assert set(given) <= known, name
        with monkeypatch.context() as patch:
            for variable, value in given.items():
                patch.setenv(variable, str(tmp_path / "secret") if variable in secrets else value)
            settings = load_settings()
        assert settings.db_password.get_secret_value() == "secret"
        if name == "api":
            assert "10.0.0.5" in settings.app_allowed_hosts.split(",")
        assert settings.kafka_allow_plaintext is False
    if overlay == "production":
        assert settings.db_sslmode == "verify-full" and settings.app_auth == "keys"
        assert settings.kafka_security_protocol == "SSL"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_have_no_privileges_and_all_that_they_mount(overlay: str) -> None:
    assert set(templates(overlay)) == set(OURS)
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name, pod, container in containers(overlay):
        assert f"USER {pod['securityContext']['runAsUser']}:" in dockerfile
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] and locked["capabilities"] == {"drop": ["ALL"]}
        assert locked["allowPrivilegeEscalation"] is False
        assert container["resources"]["limits"]["memory"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        assert set(mounts) <= {volume["name"] for volume in pod["volumes"]}
        for variable, value in environment(overlay, container).items():
            if value.startswith("/run/secrets/") and variable != "METRICS_TOKEN_FILE":
                assert any(value.startswith(path) for path in mounts.values()), (name, variable)


def test_commands_and_versions_exist() -> None:
    (first_key,) = of_kind(examples(), "Job")
    keys = first_key["spec"]["template"]["spec"]["containers"]
    for container in (*(one for _, _, one in containers("production")), *keys):
        image, _, tag = container["image"].partition(":")
        assert image == "energy-ingestion-engine"
        assert f'version="{tag}"' in (ROOT / "Dockerfile").read_text()
        python, dash_m, module, *words = container["command"]
        assert (python, dash_m) == ("python", "-m")
        assert find_spec(f"{module}.__main__")
        assert callable(importlib.import_module(f"{module}.__main__").main)
        if words[:1] == ["grant"]:
            assert {word.removeprefix("--") for word in words[1::2]} == set(KINDS)


async def served_paths() -> set[str]:
    return set(routes(Parts(Settings())))


def test_probes_ask_for_paths_that_are_there() -> None:
    paths = asyncio.run(served_paths())
    for name, _, container in containers("production"):
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if name == "migrate":
                assert probe not in container
                continue
            get = container[probe]["httpGet"]
            assert get["path"] in paths and get["port"] in ports
    (api,) = (c for name, _, c in containers("production") if name == "api")
    assert api["readinessProbe"]["periodSeconds"] <= 4  # docs/operations.md: so nobody is refused
    settings = environment("production", api)
    assert api["ports"][0]["containerPort"] == int(settings["APP_PORT"])
    (worker,) = (c for name, _, c in containers("production") if name == "worker")
    assert worker["ports"][0]["containerPort"] == int(settings["METRICS_PORT"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_select_something(overlay: str) -> None:
    labels = [template["metadata"]["labels"] for template in templates(overlay).values()]
    kinds = ("Deployment", "PodDisruptionBudget", "PodMonitor", "Service")
    for one in of_kind(rendered(overlay), *kinds):
        selector = one["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= found.items() for found in labels), one["metadata"]["name"]
    deployments = {d["metadata"]["name"] for d in of_kind(rendered(overlay), "Deployment")}
    for one in of_kind(rendered(overlay), "ScaledObject", "HorizontalPodAutoscaler"):
        assert one["spec"]["scaleTargetRef"]["name"] in deployments


def test_what_is_needed_may_be_reached_and_nothing_else() -> None:
    for overlay in OVERLAYS:
        policies = {
            p["metadata"]["name"]: p["spec"] for p in of_kind(rendered(overlay), "NetworkPolicy")
        }
        assert policies["nothing-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        reached = {p["port"] for rule in policies["services"]["egress"] for p in rule["ports"]}
        (_, _, worker) = next(one for one in containers(overlay) if one[0] == "worker")
        settings = environment(overlay, worker)
        kafka = int(settings["KAFKA_BOOTSTRAP_SERVERS"].partition(":")[2])
        assert reached == {53, int(settings.get("DB_PORT", "5432")), kafka}


def test_scaling_fits_topics_group_and_partitions() -> None:
    (scaled,) = of_kind(rendered("production"), "ScaledObject")
    (_, _, worker) = next(one for one in containers("production") if one[0] == "worker")
    settings = environment("production", worker)
    topics = {t["metadata"]["name"]: t["spec"] for t in of_kind(examples(), "KafkaTopic")}
    assert set(topics) == {settings["KAFKA_METER_TOPIC"], settings["KAFKA_VEHICLE_TOPIC"]}
    for topic in topics.values():
        assert topic["partitions"] == scaled["spec"]["maxReplicaCount"]
        assert topic["config"]["message.timestamp.type"] == "LogAppendTime"
    triggers = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {trigger["topic"] for trigger in triggers} == set(topics)
    for trigger in triggers:
        assert trigger["consumerGroup"] == settings["KAFKA_GROUP_ID"]
        assert trigger["bootstrapServers"] == settings["KAFKA_BOOTSTRAP_SERVERS"]


def test_examples_give_the_roles_and_rights_that_are_needed() -> None:
    (cluster,) = of_kind(examples(), "Cluster")
    made = {role["name"] for role in cluster["spec"]["managed"]["roles"]}
    made.add(cluster["spec"]["bootstrap"]["initdb"]["owner"])
    used = {
        value
        for _, _, container in containers("production")
        for one in container["env"]
        if (value := one.get("value")) and one["name"] == "DB_USERNAME"
    }
    assert used <= made
    (grant,) = (c for _, _, c in containers("production") if "grant" in c["command"])
    assert set(grant["command"][5::2]) <= made
    users = {user["metadata"]["name"]: user["spec"] for user in of_kind(examples(), "KafkaUser")}
    secrets = {
        volume["secret"]["secretName"]
        for template in templates("production").values()
        for volume in template["spec"]["volumes"]
        if volume["name"] == "kafka"
    }
    assert secrets == set(users)


@pytest.mark.parametrize("where", [*OVERLAYS, "examples"])
def test_custom_resources_are_what_their_definitions_say(where: str) -> None:
    known = {file.stem: json.loads(file.read_text()) for file in SCHEMAS.glob("*.json")}
    checked = 0
    for one in examples() if where == "examples" else rendered(where):
        name = f"{one['apiVersion'].replace('/', '_')}_{one['kind']}"
        if name in known:
            jsonschema_rs.validate(known[name], one)
            with pytest.raises(jsonschema_rs.ValidationError):
                jsonschema_rs.validate(known[name], one | {"spec": one["spec"] | {"typo": 1}})
            checked += 1
    assert checked == {"development": 0, "production": 4, "examples": 1}[where]
