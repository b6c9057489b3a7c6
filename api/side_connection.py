"""A connection to PostgreSQL beside the pool, for the signs that a process gives of itself.

Health and metrics must not queue behind requests: a pool that is all in use would look like a
database that is away, and replicas would leave the rotation just when they are needed.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from sql.connect import connect_async, cut, settle


class SideConnection:
    """One connection, opened at the first question and again whenever it broke."""

    def __init__(self, where: str, within_s: float) -> None:
        """`within_s`: how long an answer may take, everything included."""
        self._where = where
        self._within_s = within_s
        self._session = {"statement_timeout": f"{within_s * 1000:.0f}ms"}
        self._connection: AsyncConnection[DictRow] | None = None
        self._lock = asyncio.Lock()

    async def ask(
        self, query: sql.SQL, parameters: Mapping[str, Any] | None = None
    ) -> list[DictRow]:
        """The rows. Raises psycopg.Error, or TimeoutError when there is no answer in time."""
        deadline = asyncio.get_running_loop().time() + self._within_s
        async with asyncio.timeout_at(deadline):
            await self._lock.acquire()
        try:
            kept = self._connection
            try:
                return await self._ask(query, parameters, deadline)
            except psycopg.OperationalError:
                if kept is None:
                    raise
            return await self._ask(query, parameters, deadline)  # the kept one was a dead one
        finally:
            self._lock.release()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()

    async def _ask(
        self, query: sql.SQL, parameters: Mapping[str, Any] | None, deadline: float
    ) -> list[DictRow]:
        """One try. When time is up the connection is cut: a question cannot be cancelled, as the
        server would have to be asked for that, too.
        """
        settled = self._connection
        connection = settled or await self._connect(deadline)
        late = asyncio.get_running_loop().call_at(deadline, cut, connection)
        try:
            if settled is None:
                await settle(connection, self._session)
            cursor = await connection.execute(query, parameters)
            rows = await cursor.fetchall() if cursor.description else []
        except BaseException as error:
            self._connection = None
            cut(connection)
            await connection.close()
            if late.when() <= asyncio.get_running_loop().time():
                raise TimeoutError from error
            raise
        finally:
            late.cancel()
        self._connection = connection
        return rows

    async def _connect(self, deadline: float) -> AsyncConnection[DictRow]:
        async with asyncio.timeout_at(deadline):
            return await connect_async(self._where)
