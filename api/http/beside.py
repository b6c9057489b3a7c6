"""Work on large inputs, beside the loop, so that it holds no other request up.

There are just two threads, since Python runs one at a time anyway, and the loop waits for each in
turn: one for the largest inputs, and one for those that should not have to wait behind these. A
single call into C keeps every thread waiting for as long as it takes, so what is done here is made
of many short ones.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

SMALL_BYTES = 4 * 1024
"""What is made of an input up to this size is made at once: even the worst of it takes no more than
some hundredths of a second."""
LARGE_BYTES = 256 * 1024
SWITCH_S = 0.000_02
"""How long a thread may keep the loop waiting while it runs Python. The loop waits anew for each
connection that is ready: with Python's own 5 ms, fifty busy ones delay it by a quarter second."""

Parameters = ParamSpec("Parameters")
AResult = TypeVar("AResult")
_medium = ThreadPoolExecutor(1, thread_name_prefix="medium")
_large = ThreadPoolExecutor(1, thread_name_prefix="large")


async def beside(
    size: int,
    work: Callable[Parameters, AResult],
    *arguments: Parameters.args,
    **more: Parameters.kwargs,
) -> AResult:
    """The result of `work`, which raises what it raises; `size` is that of its input in bytes."""
    if size <= SMALL_BYTES:
        return work(*arguments, **more)
    loop = asyncio.get_running_loop()
    thread = _large if size > LARGE_BYTES else _medium
    return await loop.run_in_executor(thread, partial(work, *arguments, **more))


def switch_often() -> None:
    """Let the loop have its turn soon when a thread is at work. It is set for the whole process."""
    sys.setswitchinterval(SWITCH_S)
