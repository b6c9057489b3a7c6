"""`devstack up`: a stack in the foreground until SIGTERM or SIGINT, announced in a file."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from devstack.control import Control, answers
from devstack.env_file import CONTROL, read_environment, write_environment
from devstack.messages import DevstackError, say
from devstack.stack import Stack

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ended(BaseException):
    """Raised on the main thread when a signal asks for the end."""


def run(*, brokers: int, partitions: int, data_dir: Path | None, env_file: Path) -> None:
    """Runs a stack until a signal ends it, then stops everything and removes `env_file`."""
    if not env_file.absolute().parent.is_dir():
        raise DevstackError(f"there is no directory for the file {env_file}")
    _refuse_used(env_file)
    env_file.unlink(missing_ok=True)
    with _ended_by_signals():
        try:
            with Stack(data_dir, brokers, partitions) as stack:
                try:
                    _announce_and_serve(stack, env_file)
                finally:
                    _ignore_signals()
                    env_file.unlink(missing_ok=True)
                    say("stopping")
        except Ended:
            say("stopped")


def _refuse_used(env_file: Path) -> None:
    """Raises DevstackError when `env_file` is that of a stack that runs."""
    if env_file.exists():
        control = read_environment(env_file).get(CONTROL)
        if control and answers(Path(control)):
            raise DevstackError(f"{env_file} belongs to a stack that is running; name another file")


def _announce_and_serve(stack: Stack, env_file: Path) -> None:
    control = Control(stack)
    try:
        write_environment(env_file, {**stack.environment, CONTROL: str(control.path)})
        say(f"ready: {env_file} says where")
        control.serve()
    finally:
        control.close()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turns the first signal into `Ended`, wherever the main thread is; ignores further ones."""

    def end(number: int, frame: FrameType | None) -> None:
        _ignore_signals()
        raise Ended

    hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # under nohup
    numbers = END_SIGNALS[:2] if hangup_ignored else END_SIGNALS
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
