"""A few requests to one particular broker, in Kafka's own protocol.

A Kafka client chooses the broker it asks. Whether one broker is in its cluster and in sync can only
be asked on a connection to that broker. With `tls`, that connection is encrypted.
"""

import socket
import ssl
import struct
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from aiokafka.protocol.admin import CreateTopicsRequest_v3
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v1

from devstack.errors import DevstackError
from devstack.ports import LOOPBACK

ANSWER_TIMEOUT_S = 5.0
CREATE_TIMEOUT_MS = 30_000
ALL_TOPICS = None
NO_ERROR = 0
TOPIC_ALREADY_EXISTS = 36


@dataclass(frozen=True, slots=True)
class Partition:
    """What a broker knows about one partition; `leader` is a node id, or -1 when there is none."""

    topic: str
    number: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


def ask(
    port: int,
    request: RequestStruct,
    timeout_s: float = ANSWER_TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Send one request to the broker on `port` and decode its answer.

    Raises OSError when there is no connection, no complete answer, or none in time.
    """
    with _connected(port, timeout_s, tls) as connection:
        header = request.build_request_header(correlation_id=1, client_id="devstack")
        message = header.encode() + request.encode()
        connection.sendall(struct.pack(">i", len(message)) + message)
        with connection.makefile("rb") as stream:
            (size,) = struct.unpack(">i", _exactly(4, stream))
            answer = BytesIO(_exactly(size, stream))
    request.parse_response_header(answer)
    return request.RESPONSE_TYPE.decode(answer)


def _connected(port: int, timeout_s: float, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port), timeout_s)
    if tls is None:
        return connection
    try:
        return tls.wrap_socket(connection, server_hostname=LOOPBACK)
    except OSError:
        connection.close()
        raise


def _exactly(size: int, stream: BinaryIO) -> bytes:
    read = stream.read(size)
    if len(read) < size:
        raise ConnectionError("the broker closed the connection amid its answer")
    return read


def cluster(port: int, tls: ssl.SSLContext | None = None) -> tuple[set[int], list[Partition]]:
    """The ports of the cluster's brokers and all partitions, as the broker on `port` sees them."""
    answer = ask(port, MetadataRequest_v1(ALL_TOPICS), tls=tls).to_object()
    partitions = [
        Partition(
            topic["topic"],
            partition["partition"],
            partition["leader"],
            tuple(partition["replicas"]),
            tuple(partition["isr"]),
        )
        for topic in answer["topics"]
        for partition in topic["partitions"]
    ]
    return {broker["port"] for broker in answer["brokers"]}, partitions


def is_in(
    port: int, node_id: int, topics: Collection[str] = (), tls: ssl.SSLContext | None = None
) -> bool:
    """Whether the broker on `port` is in its cluster and in sync, and knows these topics.

    A broker learns of a new topic a little after the controller has created it.
    """
    try:
        ports, partitions = cluster(port, tls)
    except OSError:
        return False
    known = {partition.topic for partition in partitions}
    return (
        port in ports
        and known.issuperset(topics)
        and all(
            (partition.leader >= 0) == (node_id in partition.in_sync)
            for partition in partitions
            if node_id in partition.replicas
        )
    )


def create_topic(
    port: int,
    name: str,
    *,
    partitions: int,
    replicas: int,
    settings: dict[str, str],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Create a topic unless it exists. Raises DevstackError when the cluster refuses."""
    wanted: tuple[Any, ...] = (name, partitions, replicas, [], list(settings.items()))
    request = CreateTopicsRequest_v3([wanted], CREATE_TIMEOUT_MS, False)
    answer = ask(port, request, CREATE_TIMEOUT_MS / 1000, tls).to_object()
    for topic in answer["topic_errors"]:
        if topic["error_code"] not in (NO_ERROR, TOPIC_ALREADY_EXISTS):
            raise DevstackError(f"Kafka won't create the topic {name}: {topic['error_message']}")


def listens(port: int) -> bool:
    """Whether something takes connections on `port`."""
    try:
        socket.create_connection((LOOPBACK, port), ANSWER_TIMEOUT_S).close()
    except OSError:
        return False
    return True
