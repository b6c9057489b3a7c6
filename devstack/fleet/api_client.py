"""Registers a fleet's devices at the API and reports every charging session that starts or ends.

There is a queue for each depot: its sessions are reported in order, and depots do not wait for each
other. While the API is away, a request is repeated until it is answered. Each session has its
transaction, so that what was done already is not done again.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpx

from devstack.errors import DevstackError
from devstack.fleet.depots import Depot, Session
from devstack.messages import say
from schemas.streams.times import format_micros

CONNECTIONS = 8
TIMEOUT_S = 15.0
RETRY_S = 0.5
MAX_SHOWN_CHARACTERS = 300
"""Of an answer of the API, in a message."""


class ApiClient:
    """A client of the API at `url`. A session that the API does not take is marked as refused."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=CONNECTIONS)
        )
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._started: set[Session] = set()
        self._ended: set[Session] = set()
        self._queues: dict[int, asyncio.Queue[Session]] = {}
        self._workers: list[asyncio.Task[None]] = []

    async def register(self, depots: Iterable[Depot], report_seconds: int | None) -> None:
        """Register the devices, and how often they report; those that are there stay as they are.

        Raises DevstackError when the API refuses one.
        """
        pace = {"reportSeconds": report_seconds}
        devices = [device for depot in depots for device in _devices(depot)]
        await asyncio.gather(*(self._register(path, body | pace) for path, body in devices))

    def report(self, session: Session) -> None:
        """Queue a session; its start, its end or both are sent as they are when its turn comes."""
        queue = self._queues.get(session.depot)
        if queue is None:
            queue = self._queues[session.depot] = asyncio.Queue()
            self._workers.append(asyncio.create_task(self._work(queue)))
        queue.put_nowait(session)

    async def drain(self) -> None:
        """Return once the API has everything that was queued. Raises what ended a queue's task."""
        everything = asyncio.create_task(self._join())
        await asyncio.wait({everything, *self._workers}, return_when=asyncio.FIRST_COMPLETED)
        for worker in self._workers:
            if worker.done():
                everything.cancel()
                worker.result()

    async def close(self) -> None:
        """Drop what is still queued and disconnect."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._client.aclose()

    async def _join(self) -> None:
        for queue in self._queues.values():
            await queue.join()

    async def _work(self, queue: "asyncio.Queue[Session]") -> None:
        while True:
            session = await queue.get()
            if not session.refused:
                if session not in self._started:
                    await self._start(session)
                elif session.end is not None and session not in self._ended:
                    await self._end(session)
            queue.task_done()

    async def _start(self, session: Session) -> None:
        end = session.end
        body = {
            "transactionId": _transaction(session),
            "meterId": session.meter_id,
            "vehicleId": session.vehicle_id,
            "startedAt": format_micros(session.start),
        }
        if end is not None:
            body["endedAt"] = format_micros(end)
        answer = await self._request("POST", "/v1/sessions/start", body)
        if answer.is_success:
            self._started.add(session)
            if answer.json()["endedAt"] is not None:
                self._ended.add(session)
        else:
            session.refused = True
            say(f"the API refused a session: {_shown(answer)}")

    async def _end(self, session: Session) -> None:
        body = {
            "transactionId": _transaction(session),
            "endedAt": format_micros(session.end or 0),
        }
        answer = await self._request("POST", "/v1/sessions/end", body)
        if not answer.is_success:
            raise DevstackError(f"the API refused a session's end: {_shown(answer)}")
        self._ended.add(session)

    async def _register(self, path: str, body: dict[str, Any]) -> None:
        answer = await self._request("POST", path, body)
        if answer.status_code not in (httpx.codes.CREATED, httpx.codes.CONFLICT):
            raise DevstackError(f"the API won't register a device: {_shown(answer)}")

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        """The answer, as soon as there is one that is no server error."""
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


def _transaction(session: Session) -> str:
    """The charger's own name for the session: it has one vehicle at a time."""
    return f"{session.meter_id}@{session.start}"


def _shown(answer: httpx.Response) -> str:
    return answer.text[:MAX_SHOWN_CHARACTERS]


def _devices(depot: Depot) -> Iterable[tuple[str, dict[str, Any]]]:
    """The path and the body of each device's registration."""
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
