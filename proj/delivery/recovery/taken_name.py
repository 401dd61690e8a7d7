"""A worker whose name another worker has: one sentence in place of a stack trace."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from amqp.exceptions import ResourceLocked
from celery.exceptions import WorkerShutdown
from celery.utils.log import get_logger

from proj.broker.connection import failures
from proj.broker.control_bus import ControlBus
from proj.errors import EXIT_USAGE, NoBroker

if TYPE_CHECKING:
    from celery import Celery

    from proj.delivery.recovery.refusals import Refusals

#: Seconds for which a worker that has consumed takes its own lost connection for the reason and asks nobody, and
#: seconds between two attempts then. The broker notices a reset connection within milliseconds.
OWN_S, AGAIN_S = 3.0, 0.1
#: Seconds within which another worker of the name answers; a worker that runs tasks in processes does in milliseconds.
ANSWER_S = 5.0

logger = get_logger(__name__)


def is_control_queue_locked(app: Celery, node: str, error: Exception) -> bool:
    """Whether the broker refuses the control queue of the worker `node`, because it is another connection's."""
    # Its text is cut after 255 bytes.
    return isinstance(error, ResourceLocked) and f"'{node}.{app.conf.control_exchange}.pidbox"[:200] in str(error)


def end_when_name_is_taken(app: Celery, node: str, error: Exception, refusals: Refusals, *, has_consumed: bool) -> None:
    """Do nothing, unless the broker refuses the control queue of the worker `node`, because it is another connection's.

    That connection may be a lost one of this worker. The broker keeps it for up to two heartbeats, so connecting again
    helps. It does not help while another worker of the name is there to answer.

    Raises:
        WorkerShutdown: one is.
    """
    if not is_control_queue_locked(app, node, error):
        return
    if refusals.locked_for_s(time.monotonic()) < OWN_S and has_consumed:
        time.sleep(AGAIN_S)
        return
    if answers(app, node):
        end_because_taken(node)
    logger.warning(
        "The control queue of %s belongs to another connection, whose worker does not answer: trying again until the "
        "broker has given that connection up. If another worker has this name, start one of them with another "
        "--hostname.",
        node,
        extra={"action": "name_locked"},
    )


def end_because_taken(node: str) -> NoReturn:
    """End this worker with one sentence, because another one named `node` answers.

    Raises:
        WorkerShutdown: always.
    """
    logger.critical(
        "Another worker named %s runs on this broker, and workers of one name cannot run at the same time: "
        "start this one with another --hostname, such as w2@%%h.",
        node,
        extra={"action": "name_taken"},
    )
    raise WorkerShutdown(EXIT_USAGE)


def answers(app: Celery, node: str) -> bool:
    """Whether a worker named `node` answers within `ANSWER_S` seconds; this one must not listen yet."""
    with suppress(NoBroker, *failures(app.connection_for_write())), ControlBus(app) as bus:
        return bool(bus.ask("ping", nodes=[node], timeout_s=ANSWER_S))
    return False
