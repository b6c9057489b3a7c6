"""Work on large inputs, beside the loop, so that it holds no other request up.

There is one thread, since Python runs one at a time anyway: with more of them the loop would wait
for each in turn. A single call into C keeps every thread waiting for as long as it takes, so what
is done here is made of many short ones.
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
SWITCH_S = 0.001
"""How long the thread may keep the loop waiting while it runs Python."""

Parameters = ParamSpec("Parameters")
AResult = TypeVar("AResult")
_thread = ThreadPoolExecutor(1, thread_name_prefix="beside")


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
    return await loop.run_in_executor(_thread, partial(work, *arguments, **more))


def switch_often() -> None:
    """Let the loop have its turn soon when a thread is at work. It is set for the whole process."""
    sys.setswitchinterval(SWITCH_S)
