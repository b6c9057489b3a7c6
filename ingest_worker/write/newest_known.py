"""The newest stored time of each device, as far as this worker knows.

A reading newer than this is taken as not stored yet and copied straight in; any other goes the
slower way that tells duplicates apart. If another worker stored it in the meantime, the primary key
objects. What is known is forgotten whenever a transaction that relied on it was rolled back.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, KeysView, Sequence

from schemas.streams.stream import DEVICE, TIME, Row

MAX_BYTES = 64 * 1024 * 1024
"""Of one stream: 300,000 devices with ids of 64 characters, 400,000 with short ones."""
ENTRY_BYTES = 104
"""Of a device beside its id: 72 in the dict, which is never full, and 32 for the time."""
NEVER = -(2**63)

LookUp = Callable[[Iterable[str]], dict[str, int]]
"""The newest stored times of those devices that were ever heard of."""


class NewestKnown:
    """The newest known times of one stream's devices.

    It is only a hint: when it gets too large, it begins anew.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._newest: dict[str, int] = {}
        self._bytes = 0
        self._max_bytes = max_bytes

    def forget(self) -> None:
        """Forget all times: they are looked up in PostgreSQL again."""
        self._newest.clear()
        self._bytes = 0

    def split(self, rows: Sequence[Row], look_up: LookUp) -> tuple[dict[str, list[Row]], list[int]]:
        """Part rows in order of arrival into the new ones and the places of all others.

        The new ones come by device, each device's in order of time; they are taken as stored from
        here on. Devices not known yet are looked up first.
        """
        by_device: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_device[row[DEVICE]].append(row)
        self._know(by_device.keys(), look_up)
        newest = self._newest
        mixed = set()
        for device_id, device_rows in by_device.items():
            last = newest[device_id]
            for row in device_rows:
                if row[TIME] <= last:
                    mixed.add(device_id)
                    break
                last = row[TIME]
            else:
                newest[device_id] = last
        return by_device, self._split_mixed(rows, mixed, by_device) if mixed else []

    def _know(self, ids: KeysView[str], look_up: LookUp) -> None:
        newest = self._newest
        unknown = {device_id for device_id in ids if device_id not in newest}
        if not unknown:
            return
        size = _size(unknown)
        if newest and self._bytes + size > self._max_bytes:
            self.forget()
            unknown = set(ids)
            size = _size(unknown)
        self._bytes += size
        newest.update(dict.fromkeys(unknown, NEVER))
        newest.update(look_up(unknown))

    def _split_mixed(
        self, rows: Sequence[Row], mixed: set[str], by_device: dict[str, list[Row]]
    ) -> list[int]:
        """Keep only what is new of the devices that have both; returns the places of the rest."""
        newest = self._newest
        for device_id in mixed:
            by_device[device_id] = []
        others = []
        for place, row in enumerate(rows):
            device_id = row[DEVICE]
            if device_id in mixed:
                if row[TIME] > newest[device_id]:
                    newest[device_id] = row[TIME]
                    by_device[device_id].append(row)
                else:
                    others.append(place)
        return others


def _size(ids: Collection[str]) -> int:
    """About how many bytes it takes to know the newest times of these devices."""
    return sum(map(sys.getsizeof, ids)) + ENTRY_BYTES * len(ids)
