"""Meters and vehicles: to register, list, read and change them, and their newest reading.

One implementation serves both kinds; a `Kind` says where they differ.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from psycopg import sql
from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.http.endpoint import allows, answers
from api.http.errors import ApiError, conflict, not_found
from api.http.inputs import path_device_id
from api.http.responses import JsonResponse, list_response
from schemas.devices import (
    STATES,
    DevicePage,
    Meter,
    MeterChange,
    NewMeter,
    NewVehicle,
    Vehicle,
    VehicleChange,
)
from schemas.fields import Input, Output, device_id_of
from schemas.keys import Access
from schemas.streams import METER, VEHICLE
from schemas.streams.stream import Stream
from sql.named import load, load_for

SQL = load("devices")
MAX_PAGE_BYTES = 1024 * 1024
"""Metadata on one page of a list: no device is on it once those before have so much."""


@dataclass(frozen=True)
class Kind:
    """One kind of device: its name, its queries and its models."""

    stream: Stream
    new: type[Input]
    change: type[Input]
    device: type[Output]
    page: Any
    """The model of a list of such devices."""

    @property
    def word(self) -> str:
        """Its name in messages."""
        return self.stream.name.capitalize()

    @property
    def id_type(self) -> Any:
        """The type of its ids."""
        return device_id_of(self.stream)

    @property
    def state(self) -> type[Output]:
        """The model of a device's newest reading."""
        return STATES[self.stream.name]


METERS = Kind(METER, NewMeter, MeterChange, Meter, list[Meter])
VEHICLES = Kind(VEHICLE, NewVehicle, VehicleChange, Vehicle, list[Vehicle])


class Devices:
    """The routes below /v1/devices/meters or /v1/devices/vehicles."""

    def __init__(self, kind: Kind, database: Database) -> None:
        self.kind = kind
        self._database = database

    @allows(Access.OPERATE)
    @answers("kind.device", 201, errors=(409,), body="kind.new", headers=("Location",))
    async def create(self, request: Request, body: Input) -> Response:
        """Register a device; 409 when the id is registered already."""
        wanted = body.model_dump()
        device_id = wanted[self.kind.stream.id_column]
        wanted["metadata"] = Jsonb(wanted["metadata"])
        row = await self._fetch("create", wanted)
        if row is None:
            raise conflict(f"{self.kind.word} {device_id} is registered already")
        location = f"/v1/devices/{self.kind.stream.plural}/{quote(device_id, safe='')}"
        device = self.kind.device.model_validate(row)
        return JsonResponse(device, 201, headers={"Location": location})

    @allows(Access.READ)
    @answers("kind.page", headers=("Link",))
    async def page(self, request: Request, query: DevicePage) -> Response:
        """Registered devices by id, `limit` at a time; fewer where their metadata is large."""
        parameters = {
            "after": query.after,
            "limit": query.limit + 1,
            "bytes": MAX_PAGE_BYTES,
            "pattern": query.pattern,
            "is_active": query.is_active,
        }
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._query("page"), parameters)
            rows = await cursor.fetchall()
        shown = [row for row in rows[: query.limit] if row["bytes_before"] < MAX_PAGE_BYTES]
        devices = [self.kind.device.model_validate(row) for row in rows[: len(shown) + 1]]
        return list_response(request, devices, len(shown), self.kind.stream.id_column)

    @allows(Access.READ)
    @answers("kind.device", errors=(404,), path_id="kind.id_type")
    async def one(self, request: Request) -> Response:
        """A registered device."""
        device_id = path_device_id(request, self.kind.word)
        row = await self._fetch("one", {"id": device_id})
        if row is None:
            raise not_found(self.kind.word, device_id)
        return JsonResponse(self.kind.device.model_validate(row))

    @allows(Access.OPERATE)
    @answers("kind.device", errors=(404,), path_id="kind.id_type", body="kind.change")
    async def change(self, request: Request, body: Input) -> Response:
        """Change a device: the fields given take their new values, null included."""
        device_id = path_device_id(request, self.kind.word)
        changes = body.model_dump(exclude_unset=True)
        if not changes:
            return await self.one(request)
        row = await self._fetch("change", {"id": device_id, "changes": Jsonb(changes)})
        if row is None:
            raise not_found(self.kind.word, device_id)
        return JsonResponse(self.kind.device.model_validate(row))

    @allows(Access.READ)
    @answers("kind.state", errors=(404,), path_id="kind.id_type")
    async def state(self, request: Request) -> Response:
        """A device's newest reading; the device need not be registered."""
        device_id = path_device_id(request, self.kind.word)
        query = load_for(self.kind.stream)["live_state"]
        async with self._database.connection() as connection:
            row = await (await connection.execute(query, {"id": device_id})).fetchone()
        if row is None:
            raise ApiError(404, f"{self.kind.word} {device_id} has not been heard of yet")
        optional = {field.column for field in self.kind.stream.fields if not field.required}
        sent = {
            column: value
            for column, value in row.items()
            if value is not None or column not in optional
        }
        return JsonResponse(self.kind.state.model_validate(sent), exclude_unset=True)

    def _query(self, name: str) -> sql.SQL:
        return SQL[f"{self.kind.stream.plural}_{name}"]

    async def _fetch(self, name: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        async with self._database.connection() as connection:
            return await (await connection.execute(self._query(name), parameters)).fetchone()
