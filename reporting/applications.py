"""The names that processes go by: in PostgreSQL's pg_stat_activity and as Kafka's client ids.

The owner of a position ends backends that hold it for too long by the worker's name.
"""

from enum import StrEnum


class Application(StrEnum):
    """Who is connected."""

    WORKER = "energy-worker"
    HOUSEKEEPING = "energy-housekeeping"
    POSITIONS = "energy-positions"
    RECONCILE = "energy-reconcile"
    REJECTED = "energy-rejected"
    API = "energy-api"
    API_REPLAY = "energy-api-replay"
    KEYS = "energy-keys"
    MIGRATION = "energy-migrate"
    FLEET = "energy-fleet"
    BENCH = "energy-bench"
