"""Who runs a command: what is changed by hand is noted under this name."""

import getpass
import os
import socket


def operator() -> str:
    """Who runs this command, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
