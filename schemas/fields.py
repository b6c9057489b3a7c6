"""The field types and base models that all inputs and outputs of the HTTP API share.

Inputs are strict: nothing is coerced, unknown fields are refused, and no text gets through that
PostgreSQL could not store. JSON names are camelCase, Python names snake_case.
"""

import contextlib
import math
import re
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from schemas.streams import METER
from schemas.streams.stream import Stream
from schemas.streams.times import parse_timestamp, to_datetime
from schemas.text import ID_PATTERN, MAX_ID_CHARACTERS, check_id, storable

DEFAULT_PAGE, MAX_PAGE = 100, 1_000
"""Items on one page of a list."""
MAX_TEXT_CHARACTERS = 500
MAX_METADATA_BYTES = 65_536
MAX_METADATA_DEPTH = 32
_DIGITS = re.compile(r"[0-9]{1,19}")


class Input(BaseModel):
    """A JSON body: strict types, no unknown fields."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
    )


class Query(BaseModel):
    """A query string: text turned into the field's type, no unknown parameters.

    A number or a truth value has one way to be written: `5`, not `5.0`, `+5` or `1_0`.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _plainly_written(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and info.field_name:
            types = _plain_types(cls.model_fields[info.field_name].annotation)
            if int in types and not _DIGITS.fullmatch(value):
                raise ValueError("must be a whole number, written in digits alone")
            if bool in types and value not in ("true", "false"):
                raise ValueError("must be true or false")
        return value


def _plain_types(annotation: Any) -> set[Any]:
    """The types that a union or an annotated type is made of."""
    if get_origin(annotation) is Annotated:
        return _plain_types(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_plain_types, get_args(annotation)))
    return {annotation}


class Output(BaseModel):
    """A response body."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


def parse_time(value: object) -> datetime:
    """An aware UTC datetime, from text in exactly the format of a reading's timestamp.

    Raises ValueError for anything else, a time without an offset included.
    """
    if not isinstance(value, str):
        raise ValueError("a time must be a string")
    try:
        return to_datetime(parse_timestamp(value))
    except OverflowError:
        raise ValueError(f"{value[:40]!r} is outside the years 1 to 9999") from None


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object that jsonb can hold and give back unchanged. Raises ValueError."""
    with contextlib.suppress(orjson.JSONEncodeError):  # what cannot be JSON is named below
        if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
            raise ValueError(f"must not be larger than {MAX_METADATA_BYTES} bytes")
    level: list[Any] = [value]
    for _ in range(MAX_METADATA_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str):
                storable(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise ValueError("must not contain infinite numbers")
        level = below
    if level:
        raise ValueError(f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    return value


Time = Annotated[datetime, BeforeValidator(parse_time)]
"""A time in UTC, from a text that has an offset."""
DeviceId = Annotated[
    str,
    AfterValidator(check_id),
    AfterValidator(storable),
    Field(
        examples=[METER.id_example],
        json_schema_extra={"minLength": 1, "maxLength": MAX_ID_CHARACTERS, "pattern": ID_PATTERN},
    ),
]
"""1 to 64 characters, none of them a control character."""
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS), AfterValidator(storable)]
"""Text PostgreSQL can store."""
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number, zero or more."""
AmountAboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PageLimit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
"""Any JSON object of a bounded size and depth."""


class TimesQuery(Query):
    """A query about `[startTime, endTime)`, open on the side that is not given."""

    start_time: Time | None = None
    end_time: Time | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start_time and self.end_time and self.start_time >= self.end_time:
            raise ValueError("startTime must be before endTime")
        return self


def device_id_of(stream: Stream) -> Any:
    """The type DeviceId with the example of the stream's devices."""
    return Annotated[DeviceId, Field(examples=[stream.id_example])]


def utc_now() -> datetime:
    """The current time, by which the HTTP API judges times in requests."""
    return datetime.now(UTC)
