"""`devstack up`: a stack in the foreground until a signal ends it, announced in a file."""

from pathlib import Path

from devstack.control import Control, answers
from devstack.env_file import CONTROL, read_environment, write_environment
from devstack.errors import DevstackError, Interrupted
from devstack.interrupt import Interrupt
from devstack.messages import say
from devstack.stack import Stack


def run(
    *,
    brokers: int,
    partitions: int,
    data_dir: Path | None,
    env_file: Path,
    secure: bool,
    sessions: bool,
) -> None:
    """Run a stack until a signal ends it; then stop every service and remove `env_file`."""
    if not env_file.absolute().parent.is_dir():
        raise DevstackError(f"there is no directory for the file {env_file}")
    _refuse_used(env_file)
    env_file.unlink(missing_ok=True)
    with Interrupt() as interrupt:
        try:
            stack = Stack(data_dir, brokers, partitions, secure=secure, sessions=sessions)
            with stack:
                try:
                    _announce_and_serve(stack, env_file)
                finally:
                    interrupt.ignore()
                    env_file.unlink(missing_ok=True)
                    say("stopping")
        except Interrupted:
            say("stopped")


def _refuse_used(env_file: Path) -> None:
    """Raise DevstackError when `env_file` belongs to a stack that is running."""
    if env_file.exists():
        control = read_environment(env_file).get(CONTROL)
        if control and answers(Path(control)):
            raise DevstackError(f"{env_file} belongs to a stack that is running; name another file")


def _announce_and_serve(stack: Stack, env_file: Path) -> None:
    control = Control(stack)
    try:
        environment = {**stack.environment, CONTROL: str(control.path)}
        write_environment(env_file, environment, secret=stack.secure)
        say(f"ready: {env_file} says where")
        control.serve()
    finally:
        control.close()
