"""Meters and vehicles: register, list, read, change, and their newest reading.

One implementation serves both; a `Kind` says what differs.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import Response

from api.answers import JsonResponse, list_response
from api.database import Database
from api.endpoint import answers
from api.errors import ApiError, conflict, not_found
from api.inputs import path_device_id
from schemas.devices import (
    DevicePage,
    Meter,
    MeterChange,
    MeterState,
    NewMeter,
    NewVehicle,
    Vehicle,
    VehicleChange,
    VehicleState,
)
from schemas.fields import DeviceId, Input, Output, VehicleId
from sql.named import load

SQL = load("devices")


@dataclass(frozen=True)
class Kind:
    """One kind of device: its words, its queries and its models."""

    word: str
    plural: str
    """As in the path and in the names of the queries."""
    id_field: str
    id_type: Any
    new: type[Input]
    change: type[Input]
    device: type[Output]
    page: Any
    """The list of such devices."""
    state: type[Output]


METERS = Kind(
    "Meter", "meters", "meter_id", DeviceId, NewMeter, MeterChange, Meter, list[Meter], MeterState
)
VEHICLES = Kind(
    "Vehicle",
    "vehicles",
    "vehicle_id",
    VehicleId,
    NewVehicle,
    VehicleChange,
    Vehicle,
    list[Vehicle],
    VehicleState,
)


class Devices:
    """The routes below /v1/devices/<plural>."""

    def __init__(self, kind: Kind, database: Database) -> None:
        self.kind = kind
        self._database = database

    @answers("kind.device", 201, errors=(409,), body="kind.new", headers=("Location",))
    async def create(self, request: Request, body: Input) -> Response:
        """Register a device; 409 when the id is registered already."""
        wanted = body.model_dump()
        device_id = wanted[self.kind.id_field]
        wanted["metadata"] = Jsonb(wanted["metadata"])
        row = await self._fetch("create", wanted)
        if row is None:
            raise conflict(f"{self.kind.word} {device_id} is registered already")
        location = f"/v1/devices/{self.kind.plural}/{quote(device_id, safe='')}"
        device = self.kind.device.model_validate(row)
        return JsonResponse(device, 201, headers={"Location": location})

    @answers("kind.page", headers=("Link",))
    async def page(self, request: Request, query: DevicePage) -> Response:
        """Registered devices by id, `limit` at a time."""
        parameters = {"after": query.after, "limit": query.limit + 1}
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._query("page"), parameters)
            rows = await cursor.fetchall()
        devices = [self.kind.device.model_validate(row) for row in rows]
        return list_response(request, devices, query.limit, self.kind.id_field)

    @answers("kind.device", errors=(404,), path_id="kind.id_type")
    async def one(self, request: Request) -> Response:
        """A registered device."""
        device_id = path_device_id(request, self.kind.word)
        row = await self._fetch("one", {"id": device_id})
        if row is None:
            raise not_found(self.kind.word, device_id)
        return JsonResponse(self.kind.device.model_validate(row))

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

    @answers("kind.state", errors=(404,), path_id="kind.id_type")
    async def state(self, request: Request) -> Response:
        """A device's newest reading; unregistered ones have it too."""
        device_id = path_device_id(request, self.kind.word)
        row = await self._fetch("state", {"id": device_id})
        if row is None:
            raise ApiError(404, f"{self.kind.word} {device_id} has not been heard of yet")
        return JsonResponse(self.kind.state.model_validate(row))

    def _query(self, name: str) -> str:
        return SQL[f"{self.kind.plural}_{name}"]

    async def _fetch(self, name: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        async with self._database.connection() as connection:
            return await (await connection.execute(self._query(name), parameters)).fetchone()
