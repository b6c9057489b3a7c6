"""A broker that goes while we write to it is away, whatever loop runs."""

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from brokers import connect

assert connect  # what every process of ours imports


async def send_on_a_closed_connection() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        connection = AIOKafkaConnection(host, port)
        connection._reader, connection._writer = await asyncio.open_connection(host, port)
        connection._read_task = asyncio.create_task(connection._reader.read())
        assert await connection._read_task == b""
        connection._writer.close()
        await connection._writer.wait_closed()
        with pytest.raises(KafkaConnectionError):
            connection.send(ApiVersionRequest())
        assert not connection.connected()


def test_a_connection_that_closed_is_broken() -> None:
    uvloop.run(send_on_a_closed_connection())
