"""Progress of long work on stderr: a bar on a terminal, a line every tenth otherwise."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from devstack.messages import say

LINES_A_DOWNLOAD = 10


@contextmanager
def byte_progress(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that any thread may call with the number of bytes that just arrived."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _lines(what, total_bytes)
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total_bytes)
        yield lambda count: progress.advance(task, count)


def _lines(what: str, total_bytes: int) -> Callable[[int], None]:
    """Say how much is done each time another tenth is."""
    lock = threading.Lock()
    done_bytes = 0
    said = 0

    def advance(count: int) -> None:
        nonlocal done_bytes, said
        with lock:
            done_bytes += count
            tenths = done_bytes * LINES_A_DOWNLOAD // max(total_bytes, 1)
            if tenths > said:
                said = tenths
                say(f"{what}: {done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB")

    return advance
