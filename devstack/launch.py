"""A script that becomes a service's process: it changes to its user, then executes its command.

It runs as `python -I -S launch.py PARENT_PID USER|- DIRECTORY COMMAND...`, so that no Python code
runs between fork and exec in a process that may have threads. The order matters: changing the user
clears the death signal, so that is set afterwards; and only then can it be seen whether the parent
has died before.
"""

import ctypes
import os
import pwd
import signal
import sys
from typing import NoReturn

EXIT_DIRECTORY_OUT_OF_REACH = 125
EXIT_PROGRAM_OUT_OF_REACH = 126
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def become(user: str) -> None:
    """Drop root's privileges for good."""
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def die_with(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent dies, for whatever reason."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone already")


def main(parent_pid: str, user: str, directory: str, *command: str) -> NoReturn:
    """Replace this process by `command`."""
    if user != "-":
        become(user)
    die_with(int(parent_pid))
    try:
        os.chdir(directory)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_DIRECTORY_OUT_OF_REACH)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_PROGRAM_OUT_OF_REACH)


if __name__ == "__main__":
    main(*sys.argv[1:])
