"""How every command begins, what it says meanwhile, and how it ends when it cannot go on.

Results go to stdout; everything else to stderr, as lines of text or, with LOG_FORMAT=json, of JSON.
"""

import argparse
import os
import select
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, NoReturn

import orjson

from reporting.logs import as_json, json_line
from reporting.version import NAME, version
from schemas.text import one_line

FAILED_STATUS, BAD_INPUT_STATUS = 1, 2
INTERRUPTED_STATUS = 130
NOBODY_READS_STATUS = 141
"""What a shell reports of a command that was ended by SIGPIPE."""


class Parser(argparse.ArgumentParser):
    """A parser of options, with --version, that reports bad ones like any other error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if " " not in (self.prog or "").removeprefix("python -m "):  # not one of its commands
            text = f"{NAME} {version()}"
            self.add_argument("--version", action="version", version=text)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and end."""
        if not as_json():
            self.print_usage(sys.stderr)
        fail(message)
        sys.exit(BAD_INPUT_STATUS)


def run(main: Callable[[], int]) -> int:
    """Run a command; returns its exit status. No terminal and no closed pipe can break it.

    A character that the terminal's encoding lacks is printed as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError as error:
        if _somebody_reads():  # so it was another pipe, or a connection
            fail(one_line(error))
            return FAILED_STATUS
        return NOBODY_READS_STATUS
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    return status


def say(text: str, *, level: str = "info") -> None:
    """Print a line about what the command is doing on stderr."""
    line = json_line(level, "command", text, {}) if as_json() else text
    print(line, file=sys.stderr, flush=True)


def fail(why: object) -> None:
    """Print why the command cannot go on, as its last line on stderr."""
    text = str(why)
    say(text if as_json() else f"error: {text}", level="error")


def print_json(value: Any) -> None:
    """Print a result as JSON, in UTF-8 whatever the terminal's encoding; times in UTC, with a Z."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(value, option=option))
    sys.stdout.flush()


def _somebody_reads() -> bool:
    """Whether stdout and stderr lead somewhere: the reader behind `| head` may have seen enough.

    What leads nowhere is turned away: Python flushes it once more at its end, and would complain.
    """
    outlets = [sys.stdout.fileno(), sys.stderr.fileno()]
    poll = select.poll()
    for outlet in outlets:
        poll.register(outlet, 0)
    gone = [outlet for outlet, events in poll.poll(0) if events & (select.POLLERR | select.POLLHUP)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for outlet in gone:
        os.dup2(nowhere, outlet)
    os.close(nowhere)
    return not gone
