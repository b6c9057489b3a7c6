"""Taking a reading without what is wrong in it: its energy counts, whatever else a sensor said.

Only fields that the stream calls expendable may be left out. All others, the id and the time have
to be as valid as ever.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from schemas.streams.stream import TIMESTAMP, Row, Stream
from schemas.streams.times import parse_timestamp


class Salvager:
    """Reads what is of use in readings of one stream."""

    def __init__(self, stream: Stream, names: Collection[str]) -> None:
        """`names`: the expendable fields that may be left out."""
        self._stream = stream
        self._expendable = [
            (field, msgspec.json.Decoder(stream.part([field.name], optional=True)).decode)
            for field in stream.fields
            if field.expendable and field.name in names
        ]
        expendable = [field for field, _ in self._expendable]
        self._needed = [field for field in stream.fields if field not in expendable]
        names = [stream.id_field, *(field.name for field in self._needed), TIMESTAMP]
        self._decode_needed = msgspec.json.Decoder(stream.part(names)).decode

    def read(self, piece: bytes) -> tuple[Row, tuple[str, ...]]:
        """The row of one reading, and the names of the fields that it lacks because of faults.

        A field that comes several times is valid when each of its values is. Raises ValueError
        or RecursionError when more is wrong than can be left out.
        """
        needed: Any = self._decode_needed(piece)
        values = {field.name: getattr(needed, field.name) for field in self._needed}
        dropped = []
        for field, decode in self._expendable:
            try:
                values[field.name] = getattr(decode(piece), field.name)
            except (ValueError, RecursionError):
                values[field.name] = None
                dropped.append(field.name)
            else:
                if values[field.name] is None and field.required:
                    dropped.append(field.name)
        time = parse_timestamp(getattr(needed, TIMESTAMP))
        device_id: str = getattr(needed, self._stream.id_field)
        given = {name: value + 0.0 for name, value in values.items() if value is not None}
        return self._stream.row(device_id, time, **given), tuple(dropped)
