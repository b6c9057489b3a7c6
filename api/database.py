"""PostgreSQL for the API: a pool of connections that outlives restarts of the server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import orjson
import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.http.errors import unavailable
from api.side_connection import SideConnection
from reporting.applications import Application
from reporting.tracing import Kind, is_on, span
from reporting.waiting import NOT_CONNECTED, Waiting
from schemas.settings import Settings
from sql.connect import connect, conninfo, settle
from sql.errors import MigrationError, UnsuitableDatabaseError
from sql.migrate import NOT_MIGRATED, is_current
from sql.named import load, name_of

SCHEMA_POLL_S = 1.0
CONNECTION_WAIT_S = 4.0
"""How long a request waits for a connection before it is answered with 503."""
RECONNECT_S = 3.0
"""How long the pool tries to reconnect by itself; after that, each request makes it try again."""
SESSION = {"statement_timeout": "8s", "lock_timeout": "5s"}
"""What every connection of the API is opened with."""
CHECK_TIMEOUT_S = 2.0
TOO_BUSY = "All connections to PostgreSQL are in use, try again"
MIN_CONNECTIONS = 2

Connection = AsyncConnection[DictRow]


class Database:
    """The pool of connections, and whether PostgreSQL and its schema can be used."""

    def __init__(self, settings: Settings) -> None:
        self.name = f"PostgreSQL at {settings.db_host}:{settings.db_port}/{settings.db_database}"
        self._waiting = Waiting({self.name: NOT_CONNECTED})
        self._conninfo = conninfo(settings, Application.API)
        self._pool = AsyncConnectionPool[Connection](
            self._conninfo,
            kwargs={"autocommit": True, "row_factory": dict_row},
            configure=_configure,
            min_size=min(MIN_CONNECTIONS, settings.db_pool_size),
            max_size=settings.db_pool_size,
            timeout=CONNECTION_WAIT_S,
            reconnect_timeout=RECONNECT_S,
            open=False,
        )
        self._open = False
        self._side = SideConnection(self._conninfo, CHECK_TIMEOUT_S)

    @property
    def trouble(self) -> str | None:
        """Why PostgreSQL cannot be used, as far as is known; None when it can."""
        return self._waiting.reasons.get(self.name)

    async def run(self) -> None:
        """Wait for PostgreSQL and an up-to-date schema, then open the pool.

        Raises UnsuitableDatabaseError: waiting would not help.
        """
        while trouble := await asyncio.to_thread(_schema_trouble, self._conninfo):
            self._waiting.missing(self.name, trouble)
            await asyncio.sleep(SCHEMA_POLL_S)
        await self._pool.open()
        self._open = True
        self._waiting.present(self.name)

    async def close(self) -> None:
        """Close all connections."""
        self._open = False
        await self._pool.close()
        await self._side.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection that was just tested, in autocommit mode; rows are dicts, times in UTC.

        Raises ApiError 503 until the schema has been seen and when all connections stay in use,
        psycopg.OperationalError when PostgreSQL cannot be reached.
        """
        if not self._open:
            raise unavailable(f"Waiting for {self.name}: {self.trouble}")
        try:
            with span("connection"):
                connection = await self._live_connection()
        except PoolTimeout:
            if await self.check():
                raise
            raise unavailable(TOO_BUSY) from None
        except psycopg.OperationalError as error:
            self._waiting.missing(self.name, error)
            raise
        self._waiting.present(self.name)
        try:
            async with connection:
                yield connection
        finally:
            await self._pool.putconn(connection)

    async def _live_connection(self) -> Connection:
        """A connection that answers; broken ones are given back, and the pool replaces them.

        psycopg_pool's own `check` pauses longer after each broken connection, and all of them are
        broken after a restart of PostgreSQL.
        """
        until = time.monotonic() + CONNECTION_WAIT_S
        while True:
            connection = await self._pool.getconn(timeout=max(0.0, until - time.monotonic()))
            try:
                await AsyncConnectionPool.check_connection(connection)
            except BaseException as error:
                await self._pool.putconn(connection)
                if not isinstance(error, psycopg.OperationalError):
                    raise
            else:
                return connection

    async def check(self) -> str | None:
        """Ask PostgreSQL for an answer now: None, or why it cannot be used.

        It is asked beside the pool: one that is busy with requests is not away.
        """
        if not self._open:
            return self.trouble
        try:
            await self._side.ask(load("snapshots")["ping"])
        except TimeoutError:
            self._waiting.missing(self.name, f"no answer within {CHECK_TIMEOUT_S:.0f} s")
        except psycopg.Error as error:
            self._waiting.missing(self.name, error)
        else:
            self._waiting.present(self.name)
        return self.trouble

    def pool_stats(self) -> dict[str, int]:
        """psycopg_pool's own counters."""
        return self._pool.get_stats()


class _TracedCursor(AsyncCursor[Any]):
    """A cursor whose statements have spans, by their names in sql/queries."""

    async def execute(self, query: Any, *arguments: Any, **more: Any) -> Self:
        if not query:  # the pool's own check
            return await super().execute(query, *arguments, **more)
        attributes = {"db.system.name": "postgresql"}
        with span(name_of(query) or "query", attributes, kind=Kind.CLIENT):
            return await super().execute(query, *arguments, **more)


async def _configure(connection: AsyncConnection[Any]) -> None:
    await settle(connection, SESSION)
    if is_on():
        connection.cursor_factory = _TracedCursor
    set_json_loads(orjson.loads, connection)
    set_json_dumps(orjson.dumps, connection)


def _schema_trouble(where: str) -> object | None:
    try:
        with connect(where) as connection:
            return None if is_current(connection) else NOT_MIGRATED
    except UnsuitableDatabaseError:
        raise
    except (psycopg.Error, MigrationError) as error:
        return error
