"""Waiting that a worker's end cuts short."""

import asyncio
import contextlib


async def pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait for so many seconds, or until `stopping` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
