"""The compose file and .env.example fit the project; no Docker engine is needed."""

import asyncio
import importlib
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise

import pytest
import yaml

from api import producer, server
from api.app import Parts, routes
from devstack.jar_lock import read_lock
from ingest_worker import run
from ingest_worker.health import Status, served
from ingest_worker.loop import worker
from schemas.settings import Settings, SettingsError, load_settings
from schemas.streams import STREAMS
from tests.compose import BASE, DONE, HEALTHY, ROOT, defaults, filled, read

COMPOSE_TEXT = (ROOT / BASE).read_text()
COMPOSE = read(BASE)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = (ROOT / ".env.example").read_text()
SETTINGS = defaults()
WATCHING = {"prometheus", "alertmanager", "grafana", "postgres-exporter", "node-exporter"}
"""What comes with the profile `observability`."""
IN_OUR_CONTAINERS = {
    "APP_HOST": "0.0.0.0",
    "APP_PORT": "3000",
    "APP_AUTH": "off",
    "APP_ALLOWED_HOSTS": "localhost,127.0.0.1,api",
    "DB_HOST": "postgres",
    "DB_ALLOW_PLAINTEXT": "true",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:19092",
    "METRICS_HOST": "0.0.0.0",
    "METRICS_PORT": "9400",
}
OPENTELEMETRYS_OWN = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
    "OTEL_EXPORTER_OTLP_HEADERS": "",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=production",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.01",
}
"""Not in the README one by one; with the examples of .env.example."""
COMPOSES_OWN = {"COMPOSE_FILE": f"{BASE}:docker-compose.production.yml", "APP_PUBLISH": "127.0.0.1"}
PLAINTEXT = "${DB_ALLOW_PLAINTEXT:-${DB_HOST:-true}}"
IMAGES_OWN = r"POSTGRES_(USER|PASSWORD|DB)|PGPORT"
WORKER_MB = 500
"""What its memory stays below, as docs/guarantees.md promises."""
JVM_SETTINGS = {"KAFKA_HEAP_OPTS", "KAFKA_GC_LOG_OPTS"}
BROKER_SETTINGS = {
    "advertised.listeners",
    "auto.create.topics.enable",
    "controller.listener.names",
    "controller.quorum.voters",
    "group.initial.rebalance.delay.ms",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "node.id",
    "offsets.topic.replication.factor",
    "process.roles",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
}


def environment_of(name: str) -> dict[str, str]:
    return {key: filled(value) for key, value in SERVICES[name]["environment"].items()}


def megabytes(size: str) -> int:
    return int(size[:-1]) * {"m": 1, "g": 1024}[size[-1]]


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def health_url(name: str) -> str:
    return filled(SERVICES[name]["healthcheck"]["test"][-1])


def test_what_runs_is_what_the_project_has() -> None:
    assert set(SERVICES) - WATCHING == {"kafka", "topics", "postgres", "migrate", "worker", "api"}
    assert set(OURS) == {"migrate", "worker", "api"}
    assert all(ROOT / service["build"] == ROOT for service in OURS.values())


def test_every_setting_reaches_our_containers_and_nothing_else_does() -> None:
    for service in OURS.values():
        assert set(service["environment"]) == {*SETTINGS, *OPENTELEMETRYS_OWN}
    for name in ("worker", "api"):
        given = {k: v for k, v in environment_of(name).items() if v != "None"}
        assert given == IN_OUR_CONTAINERS


def test_every_interpolated_name_is_a_setting_with_its_default() -> None:
    text = COMPOSE_TEXT.replace(PLAINTEXT, "").replace("$$", "")
    used = re.findall(r"\$\{?(\w+)(?::-([^}]*))?", text)
    assert used
    inside = IN_OUR_CONTAINERS | {"APP_ALLOWED_HOSTS": "localhost", "APP_TLS_CERTFILE": ""}
    for name, default in used:
        assert default == inside.get(name, SETTINGS[name])


def test_a_password_goes_in_plaintext_to_composes_own_database_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert SERVICES["worker"]["environment"]["DB_ALLOW_PLAINTEXT"] == PLAINTEXT
    assert filled(PLAINTEXT) == "true"
    assert filled(PLAINTEXT, DB_HOST="db.example", DB_ALLOW_PLAINTEXT="false") == "false"
    monkeypatch.setenv("DB_ALLOW_PLAINTEXT", filled(PLAINTEXT, DB_HOST="db.example"))
    with pytest.raises(SettingsError, match="DB_ALLOW_PLAINTEXT"):
        load_settings()


def test_the_images_variables_are_theirs() -> None:
    assert all(re.fullmatch(IMAGES_OWN, name) for name in SERVICES["postgres"]["environment"])
    assert set(SERVICES["topics"]["environment"]) <= set(SETTINGS)
    for name, service in SERVICES.items():
        texts = [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
        for variable in re.findall(r"\$\$([A-Z]\w+)", " ".join(texts)):
            assert variable in service["environment"], f"{name}: {variable}"


def test_the_brokers_variables_are_broker_settings() -> None:
    """The image turns KAFKA_A_B into a.b and starts with a typo as well as without."""
    named = {
        name.removeprefix("KAFKA_").lower().replace("_", ".")
        for name in SERVICES["kafka"]["environment"].keys() - JVM_SETTINGS
    }
    assert named == BROKER_SETTINGS
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_example_lists_every_setting_with_its_true_default() -> None:
    shown = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert shown == SETTINGS | COMPOSES_OWN | OPENTELEMETRYS_OWN


def test_the_example_explains_every_setting_and_sets_none() -> None:
    lines = EXAMPLE.splitlines()
    for above, line in pairwise(lines):
        if re.match(r"#?[A-Z_]+=", line):
            assert line.startswith("#") and above.startswith("# "), line


@pytest.mark.parametrize("command", [s["command"] for s in OURS.values()], ids=" ".join)
def test_every_command_exists(command: list[str]) -> None:
    assert command[:2] == ["python", "-m"]
    assert find_spec(f"{command[2]}.__main__")
    assert callable(importlib.import_module(f"{command[2]}.__main__").main)
    helped = subprocess.run(
        [sys.executable, *command[1:], "--help"], cwd=ROOT, capture_output=True, check=False
    )
    assert helped.returncode == 0, helped.stderr


def test_ports_are_the_defaults() -> None:
    port = SETTINGS["APP_PORT"]
    assert [filled(p) for p in SERVICES["api"]["ports"]] == [f"127.0.0.1:{port}:{port}"]
    host = SETTINGS["KAFKA_BOOTSTRAP_SERVERS"]
    assert f"HOST://{host}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert SERVICES["kafka"]["ports"] == ["127.0.0.1:9092:9092"] and host.endswith(":9092")
    inside = environment_of("worker")["KAFKA_BOOTSTRAP_SERVERS"]
    assert f"INTERNAL://{inside}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert environment_of("worker")["DB_HOST"] in SERVICES


def test_the_worker_can_be_scaled() -> None:
    service = SERVICES["worker"]
    assert "container_name" not in service
    # address::port: any free port of the host
    assert [filled(p) for p in service["ports"]] == [f"127.0.0.1::{SETTINGS['METRICS_PORT']}"]


def test_topics_are_created_as_the_workers_expect_them() -> None:
    script = SERVICES["topics"]["command"][-1]
    words = shlex.split(script.replace("\\\n", " ").replace("$$", "$"), comments=True)
    for flag, value in (
        ("--partitions", "6"),
        ("--replication-factor", "1"),
        ("--config", "message.timestamp.type=LogAppendTime"),
        ("--bootstrap-server", environment_of("worker")["KAFKA_BOOTSTRAP_SERVERS"]),
    ):
        assert words[words.index(flag) + 1] == value
    assert {"--create", "--if-not-exists"} <= set(words)
    topics = {f"$KAFKA_{name.upper()}_TOPIC" for name in (*STREAMS, "session")}
    assert topics <= {word.rstrip(";") for word in words}


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_privileges_or_grows_without_end(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] and "/tmp" in [
        entry.partition(":")[0] for entry in service["tmpfs"]
    ]
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"] and "privileged" not in service
    assert service["pids_limit"] and megabytes(service["mem_limit"])


def test_nothing_is_published_but_on_the_loopback_address() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 6
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_memory_limits_fit_what_runs() -> None:
    heap = SERVICES["kafka"]["environment"]["KAFKA_HEAP_OPTS"].removeprefix("-Xmx")
    assert megabytes(heap) * 2 <= megabytes(SERVICES["kafka"]["mem_limit"])
    assert megabytes(SERVICES["worker"]["mem_limit"]) >= 2 * WORKER_MB


def test_nothing_starts_before_what_it_needs() -> None:
    conditions = {
        name: {other: need["condition"] for other, need in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
        if name not in WATCHING
    }
    all_ready = {"kafka": HEALTHY, "postgres": HEALTHY, "topics": DONE, "migrate": DONE}
    assert conditions == {
        "kafka": {},
        "postgres": {},
        "topics": {"kafka": HEALTHY},
        "migrate": {"postgres": HEALTHY},
        "worker": all_ready,
        "api": all_ready,
    }
    for needs in conditions.values():
        for other, condition in needs.items():
            assert ("healthcheck" in SERVICES[other]) == (condition == HEALTHY)
            assert ("restart" in SERVICES[other]) == (condition == HEALTHY)


def test_what_watches_is_there_when_it_is_asked_for_and_can_read_its_files() -> None:
    targets = []
    for name in WATCHING:
        service = SERVICES[name]
        assert service["profiles"] == ["observability"] and service["restart"] == "unless-stopped"
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), "no image that changes by itself"
        for mount in service.get("volumes", []):
            if mount.startswith("."):
                source, _, mode = mount.split(":")
                assert (ROOT / source).is_dir() and mode == "ro"
    for name in ("prometheus", "alertmanager"):
        file = SERVICES[name]["command"][0].removeprefix("--config.file=/etc/prometheus/")
        assert (ROOT / "deploy" / "prometheus" / file).exists()
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    described = yaml.safe_load(text)
    for job in (*described["scrape_configs"], *described["alerting"]["alertmanagers"]):
        for one in job.get("static_configs", []):
            targets += [target.split(":")[0] for target in one["targets"]]
    assert set(targets) <= set(SERVICES)
    dashboards = ROOT / "deploy" / "grafana" / "provisioning" / "dashboards" / "energy.yml"
    (provider,) = yaml.safe_load(dashboards.read_text())["providers"]
    mounted = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted


def test_no_log_grows_without_end() -> None:
    for service in SERVICES.values():
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}


def test_data_lies_in_named_volumes() -> None:
    mounts = {
        mount.split(":")[0]: mount.split(":")[1]
        for service in SERVICES.values()
        for mount in service.get("volumes", [])
        if not mount.startswith((".", "/"))
    }
    assert set(mounts) == set(COMPOSE["volumes"])
    assert mounts["kafka-data"] == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert mounts["postgres-data"] == "/var/lib/postgresql"
    major = int(SERVICES["postgres"]["image"].removeprefix("postgres:"))
    assert major >= 18, "before 18 the data lay in /var/lib/postgresql/data"


def test_the_broker_is_the_version_tests_run_on() -> None:
    versions = {jar.version for jar in read_lock() if jar.artifact == "kafka_2.13"}
    for name in ("kafka", "topics"):
        version = SERVICES[name]["image"].removeprefix("apache/kafka:")
        assert {version} == versions


def test_each_has_the_time_it_needs_to_stop() -> None:
    graces = {name: seconds(SERVICES[name]["stop_grace_period"]) for name in ("worker", "api")}
    assert graces["worker"] > worker.STOP_GRACE_S + run.LEAVE_GROUP_WITHIN_S
    assert graces["api"] > server.DRAIN_S + server.GRACE_S + producer.STOP_TIMEOUT_S


def test_the_healthcheck_asks_for_a_path_the_api_has() -> None:
    match = re.fullmatch(rf"http://(127\.0\.0\.1):{SETTINGS['APP_PORT']}(/\S+)", health_url("api"))
    assert match

    async def paths() -> set[str]:
        return set(routes(Parts(Settings())))

    assert match[2] in asyncio.run(paths())
    hosts = SERVICES["api"]["environment"]["APP_ALLOWED_HOSTS"]
    assert match[1] in filled(hosts, APP_ALLOWED_HOSTS="fleet.example").split(",")


def test_prometheus_asks_services_by_names_that_they_answer_to() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    worker, api, *_ = yaml.safe_load(text)["scrape_configs"]
    (lookup,) = worker["dns_sd_configs"]
    assert lookup["names"] == ["worker"] and "worker" in SERVICES
    assert str(lookup["port"]) == SETTINGS["METRICS_PORT"]
    name, port = api["static_configs"][0]["targets"][0].split(":")
    assert name in SERVICES and port == SETTINGS["APP_PORT"]
    assert name in filled(SERVICES["api"]["environment"]["APP_ALLOWED_HOSTS"]).split(",")


def test_the_healthcheck_speaks_tls_when_the_api_does() -> None:
    url = SERVICES["api"]["healthcheck"]["test"][-1]
    assert filled(url).startswith("http:")
    assert filled(url, APP_TLS_CERTFILE="/secrets/tls/cert.pem").startswith("https:")
    assert SERVICES["worker"]["healthcheck"]["test"][-1].startswith("http:")


def test_the_healthcheck_follows_the_worker() -> None:
    """The very command of the compose file, against the worker's own health server."""
    service, status = SERVICES["worker"], Status()
    with served(status, "127.0.0.1", 0) as port:
        assert service["healthcheck"]["test"][:2] == ["CMD", "python"]
        url = health_url("worker").replace(f":{SETTINGS['METRICS_PORT']}/", f":{port}/")
        assert f":{port}/" in url
        command = [sys.executable, *service["healthcheck"]["test"][2:-1], url]

        def answer() -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, capture_output=True, text=True, check=False)

        starting = answer()
        assert starting.returncode != 0 and "503" in starting.stderr
        status.works("start")
        assert answer().returncode == 0
