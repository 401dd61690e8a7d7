"""Errors of the broker that no other connection would mend: they end a worker with one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from celery.exceptions import WorkerShutdown
from celery.utils.log import get_logger

from proj.broker.connection import is_login_refused, login_refused
from proj.broker.version import BrokerVersion
from proj.delivery.broker_errors import final_error, mismatch
from proj.delivery.recovery.taken_name import end_when_name_is_taken, is_control_queue_locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.delivery.consuming.consumer import Consumer
    from proj.errors import ProjError

logger = get_logger(__name__)


@contextmanager
def end_when_login_refused(consumer: Consumer) -> Iterator[None]:
    """A block that connects, and in which a refused login ends a worker that has not consumed yet.

    One that has consumed waits, longer each time, because the service that the broker asks for logins may be away.

    Raises:
        WorkerShutdown: the login is refused, for one that has consumed as often as Celery tries to connect.
    """
    try:
        yield
    except Exception as error:
        if is_login_refused(error):
            sentence = login_refused(consumer.conninfo, error)
            if not has_consumed(consumer) or not consumer.refusals.wait(sentence):
                _end(sentence, "login_refused", error)
        raise


def end_when_final(consumer: Consumer, error: Exception) -> None:
    """Do nothing when the worker may connect again after this error.

    One that has consumed connects again also where the broker refuses something, because that was allowed before.

    Raises:
        WorkerShutdown: it would fail again; Celery's loop would try for ever, or end with a stack trace.
    """
    before = has_consumed(consumer)
    end_when_name_is_taken(consumer.app, consumer.hostname, error, consumer.refusals, has_consumed=before)
    mismatched = mismatch(error)
    if mismatched is not None:
        _end(mismatched, "declaration_mismatch", error)
    refused = None if before else final_error(error, f"the start of the worker {consumer.hostname}")
    if refused is not None:
        _end(refused, "start_refused", error)


def wait_when_refused(consumer: Consumer, error: Exception) -> None:
    """Wait, longer each time, before a worker connects again that the broker has refused something.

    Raises:
        WorkerShutdown: it has done so as often as Celery tries to connect.
    """
    if is_control_queue_locked(consumer.app, consumer.hostname, error):
        return
    refused = final_error(error, f"the worker {consumer.hostname}")
    if refused is not None and not consumer.refusals.wait(refused):
        _end(refused, "start_refused", error)


def has_consumed(consumer: Consumer) -> bool:
    """Whether the worker has consumed since it began: then it has the version of a broker."""
    return consumer.broker_version != BrokerVersion(0, 0)


def _end(sentence: ProjError, action: str, error: Exception) -> NoReturn:
    logger.critical("%s", sentence.message, extra={"action": action})
    raise WorkerShutdown(sentence.exit_code) from error
