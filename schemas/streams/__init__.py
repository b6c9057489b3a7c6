"""The streams: each kind of reading is described once, in one module of this room.

`STREAMS` holds them all by name. Whatever is made a stream (topics, tables, statements, routes)
follows from it.
"""

from schemas.streams.meter import METER
from schemas.streams.stream import Stream
from schemas.streams.vehicle import VEHICLE

__all__ = ["METER", "STREAMS", "VEHICLE"]

STREAMS: dict[str, Stream] = {stream.name: stream for stream in (METER, VEHICLE)}
