"""Distributing a migrated database, empty or filled, over the nodes of a Citus cluster."""

from schemas.streams import STREAMS
from sql.connect import Connection
from sql.named import load

QUERIES = load("distribution")


def distribute(connection: Connection, shards: int) -> None:
    """Spread what every reading touches by device id. Wants autocommit. Raises psycopg.Error."""
    first = "none"
    for stream in STREAMS.values():
        for table in (stream.history_table, stream.live_table):
            names = {"table": table, "column": stream.id_column, "beside": first}
            count = shards if first == "none" else None
            connection.execute(QUERIES["spread"], names | {"shards": count})
            first = table if first == "none" else first
