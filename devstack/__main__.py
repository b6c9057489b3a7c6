"""The command line: `python -m devstack up | stop | kill | start | freeze | thaw | fleet | demo`.

`fleet` and `demo` bring their own options: they are handed what follows their name.
"""

import argparse
import importlib
import sys
from pathlib import Path

from devstack.messages import DevstackError, say

DEFERRED = {"fleet": "the simulated gateways", "demo": "the whole path, live, with a fleet"}
"""Subcommands in modules of their name, imported when asked for: `main(arguments) -> status`."""


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    from devstack.control import ACTIONS
    from devstack.limits import DEFAULT_PARTITIONS, MOST_BROKERS

    top = argparse.ArgumentParser(
        prog="python -m devstack", description="A real Kafka and a real PostgreSQL, embedded."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up", help="start Kafka and PostgreSQL; in the foreground until SIGTERM or SIGINT"
    )
    up.add_argument(
        "--brokers",
        type=int,
        default=1,
        metavar="N",
        help=f"Kafka brokers, 1 to {MOST_BROKERS} (default 1)",
    )
    up.add_argument(
        "--partitions",
        type=int,
        default=DEFAULT_PARTITIONS,
        metavar="N",
        help=f"partitions of each topic (default {DEFAULT_PARTITIONS})",
    )
    up.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="keep the data here (default: temporary, removed at the end)",
    )
    up.add_argument(
        "--env-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="written, NAME=value a line, once everything answers",
    )
    for action, text in ACTIONS.items():
        command = commands.add_parser(action, help=text, description=text)
        command.add_argument("service", help="postgres, kafka (the first broker) or kafka-N")
        command.add_argument(
            "--env-file", type=Path, required=True, metavar="FILE", help="the file `up` wrote"
        )
    for name, text in DEFERRED.items():
        commands.add_parser(name, help=text, add_help=False)
    return top


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit status."""
    if arguments and arguments[0] in DEFERRED:
        module = importlib.import_module(f"devstack.{arguments[0]}")
        return int(module.main(arguments[1:]))
    options = parser().parse_args(arguments)
    if options.command == "up":
        from devstack import up

        up.run(
            brokers=options.brokers,
            partitions=options.partitions,
            data_dir=options.data_dir,
            env_file=options.env_file,
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
    """Entry point: an error of ours is one line, not a traceback."""
    try:
        return run(sys.argv[1:])
    except (DevstackError, OSError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
