"""A channel that the broker closed under a timer of a worker, told so that Celery's loop mends it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from amqp.exceptions import RecoverableConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def connecting_again(channel_errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Let a channel that is closed within count as a lost connection.

    Raises:
        RecoverableConnectionError: the broker closed the channel, because a queue is gone for example; Celery's loop
            connects again at this one, and would log any other and go on without a consumer.
    """
    try:
        yield
    except channel_errors as error:
        raise RecoverableConnectionError(f"The broker closed the channel: {error}") from error
