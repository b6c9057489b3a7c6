"""Changing a rejected reading so that it can be stored: what an operator knows of its device.

The reading's JSON is changed before it is decoded again, by the rules that hold for all readings.
Numbers stay the text that they are: a unit is changed exactly.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from schemas.streams.stream import TIMESTAMP, Kind
from schemas.streams.times import format_micros, parse_timestamp, to_datetime

UNITS = {"Wh": 3}
"""Units that energies may have been sent in, and by how many decimals a kWh is larger."""

Members = dict[str, msgspec.Raw]


@dataclass(frozen=True, kw_only=True)
class Rescue:
    """What is changed of a reading, in this order: values, unit, time; then fields are dropped."""

    values: Mapping[str, bytes] = field(default_factory=dict)
    """JSON by the name of a field."""
    unit: str | None = None
    """One of UNITS."""
    shift_us: int = 0
    drop: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In a few words, as in `set voltage=230, shift 3600 s, drop soc`; empty for nothing."""
        words = [f"set {name}={value.decode()}" for name, value in self.values.items()]
        words += [f"unit {self.unit}"] if self.unit else []
        words += [f"shift {Decimal(self.shift_us).scaleb(-6).normalize():f} s"] * (
            self.shift_us != 0
        )
        return ", ".join([*words, *map(dropped, self.drop)])

    def apply(self, stream: Kind, raw: bytes) -> bytes:
        """The changed bytes of a reading of this stream. Raises ValueError when it cannot be."""
        if not str(self):
            return raw
        missing = [name for name in (*self.values, *self.drop) if name not in stream.json_names]
        if missing:
            raise ValueError(f"a {stream.name}'s reading has no {' and no '.join(missing)}")
        kept = [name for name in stream.droppable_names if name in self.drop]
        if len(kept) < len(self.drop):
            raise ValueError(
                f"a {stream.name}'s reading is of no use without what is to be dropped"
            )
        members = self._members(stream, raw)
        for name, value in self.values.items():
            members[name] = msgspec.Raw(value)
        if self.unit:
            names = stream.energy_names
            for name in [name for name in names if name in members] or names[:1]:
                members[name] = msgspec.Raw(_scaled(name, members, UNITS[self.unit]))
        if self.shift_us:
            members[TIMESTAMP] = msgspec.Raw(_shifted(members, self.shift_us))
        for name in self.drop:
            members.pop(name, None)
        return msgspec.json.encode(members)

    def _members(self, stream: Kind, raw: bytes) -> Members:
        """The members of the reading; those that are kept come once."""
        try:
            members: Members = msgspec.json.decode(raw, type=Members)
            # The pairs of all objects, of which the outermost comes last.
            names = json.loads(raw, object_pairs_hook=_names, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            raise ValueError("its bytes are no JSON object") from None
        replaced = {*self.values, *self.drop}
        for name in stream.json_names:
            if names.count(name) > 1 and name not in replaced:
                raise ValueError(f"it has {name} more than once")
        return members


def droppable(streams: Iterable[Kind]) -> list[str]:
    """The fields that readings of these streams may be stored without."""
    return [name for stream in streams for name in stream.droppable_names]


def dropped(name: str) -> str:
    """How it is noted that a reading was stored without this field."""
    return f"drop {name}"


def as_sent(reading: Mapping[str, Any]) -> str:
    """The JSON of a reading whose time is a number of microseconds."""
    return json.dumps({**reading, TIMESTAMP: format_micros(reading[TIMESTAMP])})


def _names(pairs: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in pairs]


def _scaled(name: str, members: Members, decimals: int) -> bytes:
    try:
        number = json.loads(bytes(members[name]), parse_int=Decimal, parse_float=Decimal)
        assert isinstance(number, Decimal)
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        return str(Decimal((sign, digits, exponent - decimals))).encode()
    except (KeyError, ValueError, ArithmeticError, AssertionError):
        raise ValueError(f"its {name} is no number") from None


def _shifted(members: Members, shift_us: int) -> bytes:
    try:
        time = parse_timestamp(msgspec.json.decode(members[TIMESTAMP], type=str)) + shift_us
        to_datetime(time)
    except (KeyError, ValueError):
        raise ValueError("its timestamp is no time that could be shifted") from None
    except OverflowError:
        raise ValueError("its timestamp would leave the years 1 to 9999") from None
    return msgspec.json.encode(format_micros(time))
