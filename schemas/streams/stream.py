"""What a stream is: one kind of reading, described once, and what follows from the description.

A stream is a device id, a time and a list of fields. From the list follow the msgspec struct that
checks a reading and its limits, the function that turns readings into rows, the columns and types
of PostgreSQL, the statements of `sql/queries/stream.sql`, the limits in /openapi.json and in the
README, the columns of a CSV, and what the simulated fleet sends.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from schemas.streams.times import RESTS, SECONDS
from schemas.text import ID_PATTERN, MAX_ID_CHARACTERS

Row = tuple[float, int, *tuple[float | None, ...], str]
"""One reading as its table's columns: the first value, the time, the other values, the device id.

The order is that of `Stream.row_fields`. Times are whole microseconds since 2000-01-01 UTC, the
number PostgreSQL itself stores; an optional value that was not sent is None.
"""
ENERGY: Final = 0
"""The first value of a row: of meters and vehicles the energy, in kWh."""
TIME: Final = 1
DEVICE: Final = -1

TIMESTAMP = "timestamp"
"""Every stream's time has this name, in JSON and in PostgreSQL."""


class Kind(Protocol):
    """What a topic carries: a stream of readings, or session events."""

    @property
    def name(self) -> str: ...

    @property
    def id_field(self) -> str:
        """The device id's name in JSON."""

    @property
    def json_names(self) -> tuple[str, ...]:
        """The names of all its members in JSON."""

    @property
    def energy_names(self) -> tuple[str, ...]:
        """Those of its energies, in kWh."""

    @property
    def droppable_names(self) -> tuple[str, ...]:
        """Those of what may be stored as NULL."""

    def payload(self, row: Row) -> dict[str, Any]:
        """What a row stands for, as sent in JSON but for its time: microseconds."""


Rows = Callable[[Iterable[Any]], list[Row]]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One value of a reading: its names, its limits, and how it is stored."""

    name: str
    """In JSON."""
    column: str
    """In PostgreSQL."""
    type: Literal["float8", "float4"]
    """PostgreSQL's type. A float4 is printed in its shortest form, 230.53."""
    unit: str
    minimum: float
    maximum: float | None = None
    example: float
    required: bool = True
    """One that is not required may be missing or null."""
    expendable: bool = False
    """With SALVAGE_READINGS a reading is stored without it, where it is wrong or missing."""

    @property
    def nullable(self) -> bool:
        """Whether its column may be NULL."""
        return self.expendable or not self.required

    @property
    def limits(self) -> str:
        """The limits for people, such as `0..500 V` or `>= 0 kWh`."""
        if self.maximum is None:
            return f">= {self.minimum:g} {self.unit}"
        return f"{self.minimum:g}..{self.maximum:g} {self.unit}"

    @property
    def json_type(self) -> Any:
        """The type msgspec checks the value by; it also makes the JSON schema."""
        limits = msgspec.Meta(
            ge=self.minimum,
            le=self.maximum,
            description=f"In {self.unit}.",
            examples=[self.example],
        )
        number = Annotated[float, limits]
        return number if self.required else number | None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of reading, and the names it goes by in JSON, in paths and in PostgreSQL."""

    name: str
    """In singular: `streamType` over HTTP, and part of the names of the topic and the tables."""
    plural: str
    """In the API's paths."""
    id_field: str
    """The device id's name in JSON."""
    id_column: str
    id_example: str
    fields: tuple[Field, ...]
    """The values, in the order in which a reading is shown; the time follows them."""
    devices_table: str | None = None
    """Where devices of this kind are registered, if they can be."""

    def __post_init__(self) -> None:
        names = [self.id_field, *(field.name for field in self.fields)]
        if not all(name.isidentifier() for name in names) or len({*names, TIMESTAMP}) <= len(names):
            raise ValueError(f"stream {self.name}: a field's name must be an identifier of its own")
        if self.row_fields[0].nullable:
            raise ValueError(f"stream {self.name}: a row's first value must be a required field")

    @property
    def history_table(self) -> str:
        """The table of every reading, with a partition a day."""
        return f"{self.name}_telemetry_history"

    @property
    def live_table(self) -> str:
        """The table of each device's newest reading."""
        return f"{self.name}_live_state"

    @cached_property
    def json_names(self) -> tuple[str, ...]:
        """The names of a reading in JSON, in the order in which it is shown."""
        return (self.id_field, *(field.name for field in self.fields), TIMESTAMP)

    @cached_property
    def energy_names(self) -> tuple[str, ...]:
        """The JSON name of a reading's energy."""
        return (self.row_fields[ENERGY].name,)

    @cached_property
    def droppable_names(self) -> tuple[str, ...]:
        """The JSON names of the fields that may be stored as NULL."""
        return tuple(field.name for field in self.fields if field.nullable)

    @cached_property
    def optional_names(self) -> frozenset[str]:
        """The JSON names of the fields that may be missing."""
        return frozenset(field.name for field in self.fields if not field.required)

    @cached_property
    def expendable(self) -> frozenset[str]:
        """The JSON names of the fields that a reading may be stored without."""
        return frozenset(field.name for field in self.fields if field.expendable)

    @cached_property
    def row_fields(self) -> tuple[Field, ...]:
        """The values in the order of a Row: wide ones first, so that columns need no padding."""
        return tuple(sorted(self.fields, key=lambda field: field.type != "float8"))

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        """The columns of a Row."""
        first, *others = (field.column for field in self.row_fields)
        return (first, TIMESTAMP, *others, self.id_column)

    @cached_property
    def copy_types(self) -> tuple[str, ...]:
        """The types of a Row in binary COPY, where a count of microseconds is a timestamptz."""
        first, *others = (field.type for field in self.row_fields)
        return (first, "int8", *others, "text")

    @cached_property
    def reading(self) -> type[msgspec.Struct]:
        """The struct that checks the types and limits of one reading in JSON."""
        return _struct(f"{self.name.capitalize()}Reading", self._members.values())

    @cached_property
    def stored_reading(self) -> type[msgspec.Struct]:
        """The struct of a reading as it is stored, where expendable values may be null."""
        members = dict(self._members)
        for field in self.fields:
            if field.expendable and field.required:
                members[field.name] = (field.name, field.json_type | None)
        return _struct(f"Stored{self.name.capitalize()}Reading", members.values())

    def part(self, names: Iterable[str], *, optional: bool = False) -> type[msgspec.Struct]:
        """A struct of some members of a reading; `optional`: each is None where it is missing."""
        members = [self._members[name] for name in names]
        if optional:
            members = [(name, kind, None) for name, kind, *_ in members]
        return _struct(f"Some{self.name.capitalize()}Fields", members)

    @cached_property
    def _members(self) -> dict[str, Any]:
        """What a reading's struct is made of, by name, in the order of `json_names`."""
        id_limits = msgspec.Meta(
            min_length=1,
            max_length=MAX_ID_CHARACTERS,
            examples=[self.id_example],
            extra_json_schema={"pattern": ID_PATTERN},
        )
        time = msgspec.Meta(extra_json_schema={"format": "date-time"})
        members: dict[str, Any] = {self.id_field: (self.id_field, Annotated[str, id_limits])}
        for field in self.fields:
            default = () if field.required else (None,)
            members[field.name] = (field.name, field.json_type, *default)
        return members | {TIMESTAMP: (TIMESTAMP, Annotated[str, time])}

    @cached_property
    def rows(self) -> Rows:
        """The function from checked readings to rows. It raises ValueError for a bad time.

        It is the worker's hottest line, so it is compiled for the fields there are, as dataclasses
        compile their methods. Adding 0.0 turns -0.0 into 0.
        """
        first, *others = map(_value, self.row_fields)
        time = f"seconds[reading.{TIMESTAMP}[:19]] + rests[reading.{TIMESTAMP}[19:]]"
        row = ", ".join([first, time, *others, f"reading.{self.id_field}"])
        source = f"lambda readings: [({row}) for reading in readings]"
        code = compile(source, f"<rows of {self.name}>", "eval")
        rows: Rows = eval(code, {"seconds": SECONDS, "rests": RESTS})  # noqa: S307
        return rows

    def row(self, device_id: str, micros: int, **values: float) -> Row:
        """The row of these values, by their names in JSON; what may be NULL may be left out.

        Raises ValueError when another value is missing or a name is no field's.
        """
        missing = {field.name for field in self.fields if not field.nullable} - values.keys()
        unknown = values.keys() - {field.name for field in self.fields}
        if missing or unknown:
            raise ValueError(f"stream {self.name}: missing {missing}, unknown {unknown}")
        first, *others = self.row_fields
        return (
            values[first.name],
            micros,
            *[values.get(field.name) for field in others],
            device_id,
        )

    def payload(self, row: Row) -> dict[str, Any]:
        """The reading a row stands for, as sent in JSON but for its time: microseconds."""
        values: dict[str, Any] = dict(zip(self.row_columns, row, strict=True))
        shown: dict[str, Any] = {self.id_field: row[DEVICE]}
        shown |= {field.name: values[field.column] for field in self.fields}
        return shown | {TIMESTAMP: row[TIME]}


def _struct(name: str, members: Iterable[Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, members, module=__name__, kw_only=True, gc=False)


def _value(field: Field) -> str:
    read = f"reading.{field.name}"
    return f"{read} + 0.0" if field.required else f"None if {read} is None else {read} + 0.0"
