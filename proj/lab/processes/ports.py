"""Free TCP ports on loopback."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections import deque

from proj.errors import InvalidSetting

LOOPBACK = "127.0.0.1"
#: Below the range from which Linux takes ports for outgoing connections (from 32768), so that no
#: client can take the port of a server while that server restarts.
FIRST_PORT, LAST_PORT = 20000, 32000

_ATTEMPTS = 200
#: The claims of this process as open files, the latest ones: a server listens on its port seconds after it was chosen.
_claims: deque[int] = deque()
_MOST_CLAIMS = 64


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do. Without it, a port with connections in TIME_WAIT looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """The preferred port when it is free and no other process has just chosen it, else a random free one."""
    if preferred is not None and is_free(preferred) and _claim(preferred):
        return preferred
    for _ in range(_ATTEMPTS):
        port = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311 a port is no secret
        if is_free(port) and _claim(port):
            return port
    raise InvalidSetting("the range of ports", f"{FIRST_PORT}-{LAST_PORT}", "free somewhere")


def _claim(port: int) -> bool:
    """Take the port before a server listens on it; False when another process, or this one, has just taken it.

    A claim is a socket in Linux's abstract namespace: it leaves no file behind, and ends with the process. Elsewhere
    nothing is claimed, and two processes may choose the same port.
    """
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0proj-lab-port-{port}")
    except OSError:
        claim.close()
        return False
    # Without its object, which would warn at the end of the process that nobody has closed it.
    _claims.append(claim.detach())
    if len(_claims) > _MOST_CLAIMS:
        os.close(_claims.popleft())
    return True


def demanded_port(name: str, port: int) -> int:
    """The port that the user asked for, when it is free.

    Raises:
        InvalidSetting: something listens on it already; `name` is the option that the error names.
    """
    if not is_free(port):
        raise InvalidSetting(name, port, f"a free port; something listens on {LOOPBACK}:{port} already")
    return port
