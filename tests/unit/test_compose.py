"""The compose file, the Dockerfile and .env.example fit the project; no Docker engine is needed."""

import ast
import asyncio
import fnmatch
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from api import producer, server
from api.app import Parts, routes
from devstack.jar_lock import read_lock
from ingest_worker import run
from ingest_worker.health import Status, served
from ingest_worker.loop import worker
from schemas.settings import Settings
from schemas.streams import STREAMS

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = (ROOT / ".env.example").read_text()
SETTINGS = {name.upper(): field.default for name, field in Settings.model_fields.items()}
IMAGES_OWN = r"POSTGRES_(USER|PASSWORD|DB)|PGPORT"
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


def instructions() -> list[tuple[str, ...]]:
    """The Dockerfile's instructions, one tuple of words each."""
    lines = (ROOT / "Dockerfile").read_text()
    lines = re.sub(r"^\s*#.*\n", "", lines, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split()) for line in lines.splitlines() if line.strip()]


def last_stage() -> list[tuple[str, ...]]:
    """The instructions of the image that is kept."""
    found = instructions()
    return found[max(i for i, words in enumerate(found) if words[0] == "FROM") :]


def with_defaults(text: object) -> str:
    """Compose's text with nothing set: every ${NAME:-default} is its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def environment_of(name: str) -> dict[str, str]:
    return {key: with_defaults(value) for key, value in SERVICES[name]["environment"].items()}


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def packages_reached(packages: Iterable[str]) -> set[str]:
    """These packages of the project and those they import, directly or through others."""
    reached: set[str] = set()
    todo = set(packages)
    while todo:
        package = todo.pop()
        reached.add(package)
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                roots = {name.partition(".")[0] for name in names}
                todo |= {root for root in roots if (ROOT / root).is_dir()} - reached
    return reached


def health_url(name: str) -> str:
    return with_defaults(SERVICES[name]["healthcheck"]["test"][-1])


def test_what_runs_is_what_the_project_has() -> None:
    assert set(SERVICES) == {"kafka", "topics", "postgres", "migrate", "worker", "api"}
    assert set(OURS) == {"migrate", "worker", "api"}
    assert all(ROOT / service["build"] == ROOT for service in OURS.values())


def test_every_setting_reaches_our_containers_and_nothing_else_does() -> None:
    for service in OURS.values():
        assert set(service["environment"]) == set(SETTINGS)
    for name in ("worker", "api"):
        given = {k: v for k, v in environment_of(name).items() if v != "None"}
        assert given == {
            "APP_PORT": str(SETTINGS["APP_PORT"]),
            "METRICS_PORT": str(SETTINGS["METRICS_PORT"]),
            "DB_HOST": "postgres",
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:19092",
        }


def test_every_interpolated_name_is_a_setting_with_its_default() -> None:
    used = re.findall(r"(?<!\$)\$\{?(\w+)(?::-([^}]*))?", COMPOSE_TEXT.replace("$$", ""))
    assert used
    inside = {"DB_HOST": "postgres", "KAFKA_BOOTSTRAP_SERVERS": "kafka:19092"}
    for name, default in used:
        assert default == str(inside.get(name, SETTINGS[name])), name


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
        for name in SERVICES["kafka"]["environment"]
    }
    assert named == BROKER_SETTINGS
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_example_lists_every_setting_with_its_true_default() -> None:
    shown = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert shown == {name: "" if v is None else str(v) for name, v in SETTINGS.items()}


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
    assert [with_defaults(p) for p in SERVICES["api"]["ports"]] == [f"{port}:{port}"]
    exposed = next(words[1:] for words in last_stage() if words[0] == "EXPOSE")
    assert exposed == (str(port), str(SETTINGS["METRICS_PORT"]))
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
    assert [with_defaults(p) for p in service["ports"]] == [
        f"127.0.0.1::{SETTINGS['METRICS_PORT']}"
    ]


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
    assert {f"$KAFKA_{name.upper()}_TOPIC" for name in STREAMS} <= {w.rstrip(";") for w in words}


def test_nothing_starts_before_what_it_needs() -> None:
    healthy, done = "service_healthy", "service_completed_successfully"
    conditions = {
        name: {other: need["condition"] for other, need in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    all_ready = {"kafka": healthy, "postgres": healthy, "topics": done, "migrate": done}
    assert conditions == {
        "kafka": {},
        "postgres": {},
        "topics": {"kafka": healthy},
        "migrate": {"postgres": healthy},
        "worker": all_ready,
        "api": all_ready,
    }
    for needs in conditions.values():
        for other, condition in needs.items():
            assert ("healthcheck" in SERVICES[other]) == (condition == healthy)
            assert ("restart" in SERVICES[other]) == (condition == healthy)


def test_data_lies_in_named_volumes() -> None:
    mounts = {
        n: v for s in SERVICES.values() for n, v in (m.split(":") for m in s.get("volumes", []))
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
    match = re.fullmatch(rf"http://127\.0\.0\.1:{SETTINGS['APP_PORT']}(/\S+)", health_url("api"))
    assert match

    async def paths() -> set[str]:
        return set(routes(Parts(Settings())))

    assert match[1] in asyncio.run(paths())


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


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    copied = [w[1:-1] for w in instructions() if w[0] == "COPY" and not w[1].startswith("--from")]
    sources = [source for group in copied for source in group]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignore, source
    assert set(sources) == {entry[1:] for entry in ignore if entry.startswith("!")}
    modules = {service["command"][2] for service in OURS.values()}
    assert modules <= set(sources)


def test_the_image_holds_exactly_the_packages_that_run() -> None:
    copied = {w[1] for w in last_stage() if w[0] == "COPY" and not w[1].startswith("--from")}
    copied.remove("pyproject.toml")  # it says which version runs
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert copied == packages_reached({service["command"][2] for service in OURS.values()})
    assert {f"{package}*" for package in copied} == set(setuptools["packages"]["find"]["include"])
    patterns = setuptools["package-data"]["sql"]
    data = list((ROOT / "sql").rglob("*.sql"))
    assert data
    for path in data:
        name = path.relative_to(ROOT / "sql").as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def test_only_locked_runtime_dependencies_are_installed() -> None:
    installs = [" ".join(words) for words in instructions() if words[0] == "RUN"]
    (install,) = [text for text in installs if "uv pip install" in text]
    assert (
        "--require-hashes --constraints requirements.lock --requirements pyproject.toml" in install
    )
    assert "--extra" not in install and "--all-extras" not in install
    assert not any(
        "pip install" in text for text in installs if text in map(" ".join, last_stage())
    )


def test_the_image_runs_without_privileges() -> None:
    users = [words[1] for words in last_stage() if words[0] == "USER"]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])
    after = [words[0] for words in last_stage()]
    assert after.index("USER") > max(i for i, word in enumerate(after) if word in ("RUN", "COPY"))


def test_the_images_python_is_one_the_project_supports() -> None:
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    images = {words[1] for words in instructions() if words[0] == "FROM"}
    assert len(images) == 1
    image = re.fullmatch(r"python:3\.(\d+)-slim", images.pop())
    assert image
    minor = int(image[1])
    assert minor >= int(oldest.removeprefix(">=3."))
