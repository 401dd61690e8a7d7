"""User: who runs this process."""

from __future__ import annotations

import getpass
import socket


def whoami() -> str:
    """The name of the user and of the host, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name for the user's number, as in a container
        user = "?"
    return f"{user}@{socket.gethostname()}"
