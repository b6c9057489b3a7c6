"""The command line: `python -m devstack up | stop | kill | start | freeze | thaw | fleet | demo |
check-gateway`.

The last three bring their own options: they are handed what follows their name.
"""

import argparse
import importlib
import sys
from pathlib import Path

from devstack.errors import DevstackError
from devstack.interrupt import INTERRUPTED_STATUS
from devstack.messages import say
from reporting import command
from reporting.command import Parser

DEFERRED = {
    "fleet": "the simulated gateways",
    "demo": "the whole path, live, with a fleet",
    "check-gateway": "what would be rejected of what a gateway sent",
}
"""Commands whose module of that name is imported when asked for: `main(arguments) -> status`."""


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    from devstack.control import ACTIONS

    top = Parser(
        prog="python -m devstack", description="A real Kafka and a real PostgreSQL, embedded."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up_options(
        commands.add_parser(
            "up", help="start Kafka and PostgreSQL; in the foreground until SIGTERM or SIGINT"
        )
    )
    for action, text in ACTIONS.items():
        options = commands.add_parser(action, help=text, description=text)
        options.add_argument("service", help="postgres, kafka (the first broker) or kafka-N")
        options.add_argument(
            "--env-file", type=Path, required=True, metavar="FILE", help="the file `up` wrote"
        )
    for name, text in DEFERRED.items():
        commands.add_parser(name, help=text, add_help=False)
    return top


def _add_up_options(up: argparse.ArgumentParser) -> None:
    from devstack.limits import DEFAULT_PARTITIONS, MOST_BROKERS

    counts = (
        ("--brokers", 1, f"Kafka brokers, 1 to {MOST_BROKERS}"),
        ("--partitions", DEFAULT_PARTITIONS, "partitions of each topic"),
    )
    for name, default, text in counts:
        text = f"{text} (default {default})"
        up.add_argument(name, type=int, default=default, metavar="N", help=text)
    text = "brokers that ask for a certificate and a password, by TLS; FILE has what clients need"
    up.add_argument("--secure", action="store_true", help=text)
    text = "name the topic of session events in FILE, so that workers read it"
    up.add_argument("--sessions", action="store_true", help=text)
    text = "keep the data here (default: temporary, removed at the end)"
    up.add_argument("--data-dir", type=Path, metavar="DIR", help=text)
    text = "written, NAME=value a line, once everything answers"
    up.add_argument("--env-file", type=Path, required=True, metavar="FILE", help=text)


def run(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    if arguments and arguments[0] in DEFERRED:
        module = importlib.import_module(f"devstack.{arguments[0].replace('-', '_')}")
        return int(module.main(arguments[1:]))
    options = parser().parse_args(arguments)
    if options.command == "up":
        from devstack import up

        up.run(
            brokers=options.brokers,
            partitions=options.partitions,
            data_dir=options.data_dir,
            env_file=options.env_file,
            secure=options.secure,
            sessions=options.sessions,
        )
        return 0
    from devstack.control import request
    from devstack.env_file import CONTROL, read_environment

    environment = read_environment(options.env_file)
    if CONTROL not in environment:
        raise DevstackError(
            f"{options.env_file} was not written by `devstack up`: it has no {CONTROL}"
        )
    request(Path(environment[CONTROL]), options.command, options.service)
    return 0


def main() -> int:
    """The entry point: a DevstackError or OSError is reported in one line."""
    try:
        return run(sys.argv[1:])
    except BrokenPipeError:
        raise  # nobody reads what the command prints
    except (DevstackError, OSError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS


if __name__ == "__main__":
    sys.exit(command.run(main))
