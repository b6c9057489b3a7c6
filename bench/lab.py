"""The laboratory: one Kafka and one PostgreSQL, and for each measurement a database of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import psycopg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.producing import PARTITIONS
from devstack.demo.child import Child
from devstack.postgres import Postgres
from devstack.stack import Stack
from sql.migrate import migrate

TOPIC_SETTINGS = {"message.timestamp.type": "LogAppendTime"}
END_LIMIT_S = 30.0
PASSED_ON = ("BATCH_SIZE", "FLUSH_INTERVAL_MS", "DB_POOL_SIZE", "RETENTION_DAYS")
"""Settings of the environment that the processes under test get; all others have defaults."""

Environment = dict[str, str]


class BenchError(Exception):
    """A measurement that can't be had, or whose result is wrong; the text says why."""


def say(text: str) -> None:
    """Tell what is going on, on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Lab:
    """Services from the `with` line on, with the children started in them; all end with it."""

    def __init__(self) -> None:
        self.stack = Stack(partitions=PARTITIONS, names={})
        self._children: list[Child] = []
        self._number = 0
        self._databases: set[str] = set()

    def __enter__(self) -> Self:
        self.stack.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.end_children()
        self.stack.__exit__(*error)

    @property
    def postgres(self) -> Postgres:
        """PostgreSQL."""
        service = self.stack.service("postgres")
        assert isinstance(service, Postgres)
        return service

    @property
    def servers(self) -> str:
        """Kafka's address."""
        return self.stack.environment["KAFKA_BOOTSTRAP_SERVERS"]

    # Topics and databases --------------------------------------------------------------------

    def topics(self) -> dict[str, str]:
        """Two new topics, by the stream's name."""
        number = self._next()
        topics = {name: f"{name}-{number}" for name in ("meter", "vehicle")}
        asyncio.run(self._create(list(topics.values())))
        return topics

    def drop_topics(self, topics: dict[str, str]) -> None:
        """Give their room on disk back, which Kafka does a minute later."""
        asyncio.run(self._delete(list(topics.values())))

    @contextmanager
    def database(self, topics: dict[str, str]) -> Iterator[Environment]:
        """A migrated database and a new group for these topics; dropped at the end."""
        name = f"bench_{self._next()}"
        self.postgres.create_database(name)
        try:
            with self.postgres.connect(name) as connection:
                migrate(connection)
                connection.execute("CHECKPOINT")
            yield self.environment(name, topics)
        finally:
            with self.postgres.connect() as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def environment(self, database: str, topics: dict[str, str]) -> Environment:
        """What the project's commands read, and nothing of the surroundings that could differ."""
        ours = ("DB_", "KAFKA_", "METRICS_", "APP_")
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(ours) or name in PASSED_ON
        }
        own = {"DB_DATABASE": database, "METRICS_PORT": "0", "LOG_FORMAT": "json"}
        return self.retargeted(inherited | self.stack.environment | own, topics)

    def retargeted(self, environment: Environment, topics: dict[str, str]) -> Environment:
        """The same with these topics and a group of its own."""
        return environment | {
            "KAFKA_METER_TOPIC": topics["meter"],
            "KAFKA_VEHICLE_TOPIC": topics["vehicle"],
            "KAFKA_GROUP_ID": f"group-{self._next()}",
        }

    def connect(self, environment: Environment) -> psycopg.Connection[Any]:
        """An autocommit connection to the environment's database."""
        return self.postgres.connect(environment["DB_DATABASE"])

    # Processes -------------------------------------------------------------------------------

    def start(
        self, arguments: list[str], environment: Environment, *, piped: bool = False
    ) -> Child:
        """`python -m arguments...` as a child."""
        number = self._next()
        name = f"{arguments[0]}-{number}"  # also that of its log
        child = Child(
            name, arguments, environment, self.stack.data_dir / f"{name}.log", piped=piped
        )
        self._children.append(child)
        return child

    def stop(self, child: Child) -> None:
        """End a child that was started here with SIGTERM."""
        child.ask_to_stop()
        status = child.end(END_LIMIT_S)
        self._children.remove(child)
        if status not in (0, -15):
            raise BenchError(f"{child.name} ended with status {status}\n{child.log_tail()}")

    def end_children(self) -> None:
        """Kill what a part that failed left behind."""
        while self._children:
            self._children.pop().end(0)

    def run(self, arguments: list[str], environment: Environment) -> str:
        """Run `python -m arguments...` to its end; return its stdout. Raises BenchError."""
        return self.output(self.start(arguments, environment, piped=True))

    def output(self, child: Child) -> str:
        """What a piped child has printed by its end. Raises BenchError when that was a bad one."""
        assert child.process.stdout is not None
        output = child.process.stdout.read().decode()
        child.process.stdout.close()
        status = child.process.wait()
        self._children.remove(child)
        if status:
            tail = child.log_tail()
            raise BenchError(f"{child.name} ended with status {status}\n{output}\n{tail}")
        return output

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _create(self, topics: list[str]) -> None:
        async with _admin(self.servers) as admin:
            await admin.create_topics(
                [NewTopic(name, PARTITIONS, 1, topic_configs=TOPIC_SETTINGS) for name in topics]
            )

    async def _delete(self, topics: list[str]) -> None:
        async with _admin(self.servers) as admin:
            await admin.delete_topics(topics)


@asynccontextmanager
async def _admin(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        yield client
    finally:
        await client.close()
