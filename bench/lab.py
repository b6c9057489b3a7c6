"""The laboratory: one Kafka and one PostgreSQL, with a new database for each measurement."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from aiokafka.admin import NewTopic

from bench.errors import BenchError
from bench.producing import PARTITIONS
from brokers.connect import connected_admin
from devstack.demo.child import Child
from devstack.kafka import LOG_APPEND_TIME
from devstack.postgres import Postgres
from devstack.stack import Stack
from schemas.settings import Settings
from schemas.streams import STREAMS
from sql.migrate import migrate

END_LIMIT_S = 30.0
PASSED_ON = ("BATCH_SIZE", "FLUSH_INTERVAL_MS", "DB_POOL_SIZE", "RETENTION_DAYS")
"""Variables that the processes under test inherit; all other settings have their defaults."""

Environment = dict[str, str]
TOPIC_VARIABLES = {name: f"KAFKA_{name.upper()}_TOPIC" for name in STREAMS}
"""The variable that names the topic of a stream, by the stream's name."""


class Lab:
    """The services while it is entered, and the child processes that use them."""

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
    def settings(self) -> Settings:
        """The settings by which Kafka is reached."""
        return Settings.model_validate(
            {name.lower(): text for name, text in self.stack.environment.items()}
        )

    # Topics and databases --------------------------------------------------------------------

    def topics(self) -> dict[str, str]:
        """Create a topic for each stream; return their names by the stream's name."""
        number = self._next()
        topics = {name: f"{name}-{number}" for name in STREAMS}
        asyncio.run(self._create(list(topics.values())))
        return topics

    def drop_topics(self, topics: dict[str, str]) -> None:
        """Delete the topics; Kafka frees their disk space a minute later."""
        asyncio.run(self._delete(list(topics.values())))

    @contextmanager
    def database(self, topics: dict[str, str]) -> Iterator[Environment]:
        """The environment of a migrated database, dropped at the end, and of a new group."""
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
        """The environment of the project's commands, without inherited settings."""
        ours = ("DB_", "KAFKA_", "METRICS_", "APP_")
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(ours) or name in PASSED_ON
        }
        own = {"DB_DATABASE": database, "METRICS_PORT": "0", "LOG_FORMAT": "json"}
        return self.retargeted(inherited | self.stack.environment | own, topics)

    def retargeted(self, environment: Environment, topics: dict[str, str]) -> Environment:
        """The same environment with these topics and a new group."""
        named = {TOPIC_VARIABLES[name]: topic for name, topic in topics.items()}
        return environment | named | {"KAFKA_GROUP_ID": f"group-{self._next()}"}

    def connect(self, environment: Environment) -> psycopg.Connection[Any]:
        """An autocommit connection to the environment's database, on whatever server it is."""
        return psycopg.connect(
            host=environment["DB_HOST"],
            port=environment["DB_PORT"],
            user=environment["DB_USERNAME"],
            password=environment["DB_PASSWORD"],
            dbname=environment["DB_DATABASE"],
            autocommit=True,
        )

    # Processes -------------------------------------------------------------------------------

    def start(
        self, arguments: list[str], environment: Environment, *, piped: bool = False
    ) -> Child:
        """Start `python -m arguments...` as a child."""
        number = self._next()
        name = f"{arguments[0]}-{number}"
        child = Child(
            name, arguments, environment, self.stack.data_dir / f"{name}.log", piped=piped
        )
        self._children.append(child)
        return child

    def stop(self, child: Child) -> None:
        """End a child with SIGTERM. Raises BenchError when it does not end well."""
        child.ask_to_stop()
        status = child.end(END_LIMIT_S)
        self._children.remove(child)
        if status not in (0, -signal.SIGTERM):
            raise BenchError(f"{child.name} ended with status {status}\n{child.log_tail()}")

    def end_children(self) -> None:
        """Kill the children that a failed part has left."""
        while self._children:
            self._children.pop().end(0)

    def run(self, arguments: list[str], environment: Environment) -> str:
        """Run `python -m arguments...` to its end; return its stdout. Raises BenchError."""
        return self.output(self.start(arguments, environment, piped=True))

    def output(self, child: Child) -> str:
        """Wait for a piped child to end; return its stdout. Raises BenchError when it failed."""
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
        async with connected_admin(self.settings) as admin:
            await admin.create_topics(
                [NewTopic(name, PARTITIONS, 1, topic_configs=LOG_APPEND_TIME) for name in topics]
            )

    async def _delete(self, topics: list[str]) -> None:
        async with connected_admin(self.settings) as admin:
            await admin.delete_topics(topics)
