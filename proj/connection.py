"""A connection to the broker, made at once or refused in one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from amqp.exceptions import AccessRefused, NotAllowed

from proj.errors import NoBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

#: Seconds for one read or write of the socket: without them, a connection whose other end is gone blocks for ever.
TRANSPORT_OPTIONS = {"read_timeout": 8, "write_timeout": 8}


@contextmanager
def connected(connection: Connection) -> Iterator[Connection]:
    """The connection, made now and released after the block. It is tried once more and no oftener: a person waits.

    Raises:
        NoBroker: no broker answers, or it does not let us in.
    """
    address = connection.as_uri()
    with connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0.2, reraise_as_library_errors=False)
        except connection.connection_errors as error:
            if is_shut_out(error):
                raise shut_out(connection, error) from error
            raise NoBroker(
                f"No broker answers at {address} ({error}). Is CELERY_BROKER_URL right? "
                "A broker of your own starts with: celery -A proj lab broker"
            ) from error
        # A login that is refused is one of these, for the broker closes a channel with it.
        except connection.channel_errors as error:
            raise shut_out(connection, error) from error
        yield connection


def is_shut_out(error: Exception) -> bool:
    """Whether the broker will not let us in another time either: a wrong password, a virtual host that is not there."""
    # Others that are not allowed pass: too many connections, a virtual host that is down.
    missing = isinstance(error, NotAllowed) and str(error.reply_text).endswith("not found")
    return missing or isinstance(error, AccessRefused)


def shut_out(connection: Connection, error: Exception) -> NoBroker:
    """The error for a broker that answers, and does not let us in."""
    return NoBroker(
        f"The broker at {connection.as_uri()} does not let us in ({error}). "
        "Are the user, the password and the virtual host in CELERY_BROKER_URL right?"
    )
