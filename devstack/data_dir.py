"""The data directory of a stack: one stack uses it at a time, and it remembers ports and ids."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

import msgspec

from devstack.errors import DevstackError
from devstack.messages import say

PREFIX = "energy-devstack-"
ABANDONED_AFTER_S = 60.0


class Notes(msgspec.Struct):
    """What a stack must know at its next start in the same directory."""

    brokers: int
    partitions: int
    cluster_id: str
    ports: dict[str, int]


class DataDirectory:
    """A directory that is locked for one stack until `close`, which removes a temporary one."""

    def __init__(self, path: Path | None) -> None:
        self.temporary = path is None
        if path is None:
            sweep_abandoned()
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX)) if path is None else path.resolve()
            if self.temporary or not self.path.exists():
                self.path.mkdir(parents=True, exist_ok=True)
                self.path.chmod(0o711)  # PostgreSQL's user must pass through it
            self._lock: IO[str] = (self.path / "lock").open("w")
        except OSError as error:
            raise DevstackError(f"the data directory {path} can't be used: {error}") from error
        if not _claim(self._lock):
            self._lock.close()
            raise DevstackError(f"another stack is running on {self.path}")

    def remembered(self) -> Notes | None:
        """The notes of the last stack in this directory; None when there was none.

        Raises:
            DevstackError: the notes are damaged, or of another version.
        """
        path = self.path / "stack.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Notes)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DevstackError(
                f"{path} is damaged or of another version ({error}); name another --data-dir"
            ) from error

    def remember(self, notes: Notes) -> None:
        """Write the notes for the next start."""
        text = msgspec.json.format(msgspec.json.encode(notes), indent=1).decode()
        write_atomically(self.path / "stack.json", text + "\n")

    def close(self) -> None:
        """Unlock the directory, and remove it when it is temporary."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def write_atomically(path: Path, content: str, *, secret: bool = False) -> None:
    """Replace a file; a reader sees the old content or the new one, never a part.

    A secret is for this user's eyes only, from the first byte on.
    """
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o666),
        "w",
        encoding="utf-8",
    ) as opened:
        opened.write(content)
    fresh.replace(path)


def sweep_abandoned() -> None:
    """Remove the temporary directories of stacks that were killed."""
    for lock_path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        try:
            if time.time() - lock_path.stat().st_mtime < ABANDONED_AFTER_S:
                continue
            with lock_path.open("r+") as lock:
                if _claim(lock):
                    say(f"removing {lock_path.parent}, left behind by a stack that was killed")
                    shutil.rmtree(lock_path.parent, ignore_errors=True)
        except OSError:
            continue  # it belongs to another user, or was just removed


def _claim(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
