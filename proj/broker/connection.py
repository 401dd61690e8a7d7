"""A connection to the broker, made at once or refused in one sentence."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amqp.exceptions import AccessRefused, NotAllowed

from proj.errors import NoBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

#: Seconds for one read or write of the socket: without them, a connection whose other end is gone blocks for ever.
TRANSPORT_OPTIONS = {"read_timeout": 8, "write_timeout": 8}
#: How the broker's words end when it does not let anyone in just now: too many connections of a virtual host or a user,
#: or a virtual host that is down.
_PASSING = re.compile(r"(limit \(\d+\) is reached|limit of \(\d+\)|' is down)$")


@contextmanager
def connected(connection: Connection) -> Iterator[Connection]:
    """The connection, made now and released after the block. It is tried once more and no oftener: a person waits.

    Raises:
        NoBroker: no broker answers, or it does not let us in.
    """
    address = connection.as_uri()
    with connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0.2, reraise_as_library_errors=False)  # type: ignore[arg-type] # unlike celery-types
        except connection.connection_errors as error:
            if is_shut_out(error):  # type: ignore[arg-type] # unlike celery-types
                raise shut_out(connection, error) from error  # type: ignore[arg-type] # unlike celery-types
            raise NoBroker(
                f"No broker answers at {address} ({error}). Is CELERY_BROKER_URL right? "
                "A broker of your own starts with: celery -A proj lab broker"
            ) from error
        # A login that is refused is one of these, for the broker closes a channel with it.
        except connection.channel_errors as error:
            raise shut_out(connection, error) from error  # type: ignore[arg-type] # unlike celery-types
        yield connection


def is_shut_out(error: Exception) -> bool:
    """Whether the broker will not let us in another time either: a wrong password, no right, no such virtual host."""
    if isinstance(error, NotAllowed):
        return _PASSING.search(str(error.reply_text)) is None
    return isinstance(error, AccessRefused)


def shut_out(connection: Connection, error: Exception) -> NoBroker:
    """The error for a broker that answers, and does not let us in."""
    return NoBroker(
        f"The broker at {connection.as_uri()} does not let us in ({error}). "
        "Are the user, the password and the virtual host in CELERY_BROKER_URL right?"
    )
