"""A channel that the broker closed inside a worker's timer: turned into a lost connection, so Celery reconnects."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from amqp.exceptions import RecoverableConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reconnect_if_closed(channel_errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn a channel error in the block into a connection error.

    Raises:
        RecoverableConnectionError: the broker closed the channel, for example because a queue was deleted. Celery's
            loop reconnects on this error. It only logs a channel error, and goes on without a consumer.
    """
    try:
        yield
    except channel_errors as error:
        raise RecoverableConnectionError(f"The broker closed the channel: {error}") from error
