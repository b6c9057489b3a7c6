"""Tells the API what a fleet consists of, and of every charging session that starts or ends.

One lane a depot: its sessions are told in order, depots don't wait for each other. While the API is
away it tries again and again.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx

from devstack.fleet.physics import Depot, Session
from devstack.messages import DevstackError, say
from schemas.streams.times import format_micros

CONNECTIONS = 8
TIMEOUT_S = 15.0
RETRY_S = 0.5
CREATED, OK, CONFLICT = 201, 200, 409


class Announcer:
    """Speaks to the API at `url`. Sessions it won't take are marked as refused."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=CONNECTIONS)
        )
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._ids: dict[Session, str] = {}
        self._ended: set[Session] = set()
        self._lanes: dict[int, asyncio.Queue[Session]] = {}
        self._workers: list[asyncio.Task[None]] = []

    async def register(self, depots: Iterable[Depot]) -> None:
        """Make the devices known; those that are known already stay as they are."""
        todo = [self._register(path, body) for depot in depots for path, body in _devices(depot)]
        await asyncio.gather(*todo)

    def announce(self, session: Session) -> None:
        """Tell of the session as it is then: its start, its end, or both at once."""
        lane = self._lanes.get(session.depot)
        if lane is None:
            lane = self._lanes[session.depot] = asyncio.Queue()
            self._workers.append(asyncio.create_task(self._work(lane)))
        lane.put_nowait(session)

    async def drain(self) -> None:
        """Return once the API has heard of everything. Raises whatever a lane ended with."""
        everything = asyncio.create_task(self._join())
        await asyncio.wait({everything, *self._workers}, return_when=asyncio.FIRST_COMPLETED)
        for worker in self._workers:
            if worker.done():
                everything.cancel()
                worker.result()

    async def close(self) -> None:
        """Say no more."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._client.aclose()

    async def _join(self) -> None:
        for lane in self._lanes.values():
            await lane.join()

    async def _work(self, lane: "asyncio.Queue[Session]") -> None:
        while True:
            session = await lane.get()
            if not session.refused:
                if session not in self._ids:
                    await self._start(session)
                elif session.end is not None and session not in self._ended:
                    await self._end(session)
            lane.task_done()

    async def _start(self, session: Session) -> None:
        end = session.end
        body = {
            "meterId": session.meter_id,
            "vehicleId": session.vehicle_id,
            "startedAt": format_micros(session.start),
        }
        if end is not None:
            body["endedAt"] = format_micros(end)
        answer = await self._post("/v1/sessions/start", body)
        if answer.status_code == CREATED:
            self._ids[session] = answer.json()["sessionId"]
            if end is not None:
                self._ended.add(session)
        elif not await self._is_there(session):
            session.refused = True
            say(f"the API refused a session: {answer.text[:300]}")

    async def _end(self, session: Session) -> None:
        body = {"endedAt": format_micros(session.end or 0)}
        answer = await self._post(f"/v1/sessions/{self._ids[session]}/end", body)
        if answer.status_code not in (OK, CONFLICT):
            raise DevstackError(f"the API refused a session's end: {answer.text[:300]}")
        self._ended.add(session)

    async def _is_there(self, session: Session) -> bool:
        """Whether an earlier attempt, whose answer was lost, did enter the session."""
        start = format_micros(session.start)
        path = f"/v1/sessions?vehicleId={session.vehicle_id}&startTime={start}&limit=1000"
        for found in (await self._request("GET", path, None)).json():
            if found["meterId"] == session.meter_id and found["startedAt"] == start:
                self._ids[session] = found["sessionId"]
                if found["endedAt"] is not None:
                    self._ended.add(session)
                return True
        return False

    async def _register(self, path: str, body: dict[str, Any]) -> None:
        answer = await self._post(path, body)
        if answer.status_code not in (CREATED, CONFLICT):
            raise DevstackError(f"the API won't register a device: {answer.text[:300]}")

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self._request("POST", path, body)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        said = False
        while True:
            try:
                async with self._turns:
                    answer = await self._client.request(method, path, json=body)
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return answer
                trouble = f"status {answer.status_code}"
            except httpx.TransportError as error:
                trouble = repr(error)
            if not said:
                said = True
                say(f"waiting for the API at {self._client.base_url}: {trouble}")
            await asyncio.sleep(RETRY_S)


def _devices(depot: Depot) -> Iterable[tuple[str, dict[str, Any]]]:
    for place, meter in enumerate(depot.meters, 1):
        yield (
            "/v1/devices/meters",
            {
                "meterId": meter.meter_id,
                "location": f"Depot {depot.number + 1}, bay {place}",
                "capacityKw": meter.capacity_kw,
            },
        )
    for vehicle in depot.vehicles:
        yield (
            "/v1/devices/vehicles",
            {
                "vehicleId": vehicle.vehicle_id,
                "model": vehicle.model,
                "batteryCapacityKwh": vehicle.capacity_kwh,
            },
        )
