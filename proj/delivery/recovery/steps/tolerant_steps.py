"""Celery's steps of a worker that must not keep it from consuming: remote control, and the set-up of delayed delivery.

Celery's control queue is exclusive to a connection. When the node of that connection is down, RabbitMQ 4.3 refuses the
queue to every other connection until that node is back. Celery's worker would connect again for ever.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, cast

from amqp.exceptions import NotFound, ResourceLocked
from celery.utils.log import get_logger
from celery.worker.consumer import consumer as celery_consumer
from celery.worker.consumer import control, delayed_delivery
from kombu.transport.native_delayed_delivery import declare_native_delayed_delivery_exchanges_and_queues

from proj.broker.control_bus import OTHERS, numbered
from proj.delivery import stock
from proj.delivery.recovery.final_errors import has_consumed
from proj.delivery.recovery.running import is_running
from proj.delivery.recovery.silence import silence_limit_s
from proj.delivery.recovery.taken_name import AGAIN_S, OWN_S, answers, end_because_taken

if TYPE_CHECKING:
    import kombu
    from celery import Celery, bootsteps

    from proj.delivery.consuming.consumer import Consumer

    class CeleryControl(bootsteps.StartStopStep):
        """Remote control; celery-types leaves these out."""

        is_green: bool
        box: Any

        def __init__(self, c: Consumer, **kwargs: object) -> None: ...

    class CeleryDelayedDelivery(bootsteps.StartStopStep):
        """The set-up of delayed delivery."""

        def _validate_configuration(self, app: Celery) -> None: ...
        def _bind_queues(self, app: Celery, connection: kombu.Connection) -> None: ...

    class CeleryBlueprint(bootsteps.Blueprint):
        """The steps of a consumer."""

else:
    CeleryControl, CeleryDelayedDelivery = control.Control, delayed_delivery.DelayedDelivery
    CeleryBlueprint = celery_consumer.Consumer.Blueprint

#: Seconds after which a worker without any control queue tries again.
WITHOUT_S = 30.0

logger = get_logger(__name__)


class Control(CeleryControl):
    """Remote control over another queue where the broker refuses the usual one; until then the worker consumes."""

    def __init__(self, c: Consumer, **kwargs: object) -> None:
        """Take the worker's consumer. With a green pool, Celery's own control has a connection of its own."""
        super().__init__(c, **kwargs)
        if not self.is_green:
            # Celery's, which stands before the method below.
            del self.__dict__["start"]
        #: Monotonic time at which the connection asked for the queue.
        self._since = 0.0

    def start(self, c: Consumer) -> None:
        """Listen for commands; where the broker refuses the queue, a worker that has consumed goes on, and tries again.

        Raises:
            ResourceLocked: the queue is another connection's, perhaps that of another worker of this name.
        """
        self._since = time.monotonic()
        refusal = self._listen(c, 1)
        connection = cast("kombu.Connection", c.connection)
        if refusal is None:
            return
        if has_consumed(c):
            self._try_later(c, connection, AGAIN_S)
            return
        # The broker has given up any connection that was merely lost.
        is_orphan = c.refusals.locked_for_s(self._since) > silence_limit_s(c.app.conf.broker_heartbeat)
        if isinstance(refusal, ResourceLocked) and not is_orphan:
            raise refusal
        self._take_another(c, connection)

    def _listen(self, c: Consumer, number: int) -> NotFound | ResourceLocked | None:
        """Listen over the queue of this number, 1 for the usual one; the broker's refusal, if any."""
        self.box.node.mailbox = numbered(cast("Any", c.app.control).mailbox, number)
        try:
            self.box.start(c)
        except (NotFound, ResourceLocked) as refusal:
            return refusal
        return None

    def _try_later(self, c: Consumer, connection: kombu.Connection, seconds: float) -> None:
        # Over the loop, because the timer would swallow the errors on which a worker reconnects.
        c.timer.call_after(seconds, c.call_soon, (self._try, c, connection))

    def _try(self, c: Consumer, connection: kombu.Connection) -> None:
        """Listen over the usual queue; when it stays refused, ask whether another worker has the name."""
        if not _is_current(c, connection) or self._listen(c, 1) is None:
            return
        if time.monotonic() - self._since < OWN_S:
            self._try_later(c, connection, AGAIN_S)
            return
        # It takes seconds where nobody answers.
        threading.Thread(target=self._ask, args=(c, connection), name="name check", daemon=True).start()

    def _ask(self, c: Consumer, connection: kombu.Connection) -> None:
        c.call_soon(self._decide, c, connection, answers(c.app, c.hostname))

    def _decide(self, c: Consumer, connection: kombu.Connection, is_taken: bool) -> None:  # noqa: FBT001 an answer
        """End, or listen over another queue.

        Raises:
            WorkerShutdown: another worker of this name answers.
        """
        if not _is_current(c, connection):
            return
        if is_taken:
            end_because_taken(c.hostname)
        self._take_another(c, connection)

    def _take_another(self, c: Consumer, connection: kombu.Connection) -> None:
        if any(self._listen(c, number) is None for number in OTHERS):
            logger.warning(
                "The control queue of %s belongs to a connection that is gone, or to a node that is down: the worker "
                "takes commands over another one.",
                c.hostname,
                extra={"action": "control_queue_changed"},
            )
            return
        logger.error(
            "The broker refuses every control queue of %s. The worker consumes, and takes no commands until %g s from "
            "now, when it tries again.",
            c.hostname,
            WITHOUT_S,
            extra={"action": "control_queue_refused"},
        )
        self._try_later(c, connection, WITHOUT_S)


class DelayedDelivery(CeleryDelayedDelivery):
    """Queues of delays, declared once over the worker's connection.

    Celery declares them over a new connection to each URL of the broker, and tries a node that is down three times with
    pauses of 9 s in all, each time that the worker connects.
    """

    def start(self, c: Consumer) -> None:
        """Declare them, and bind the app's queues to them; a refusal is logged, because the worker works without them.

        Raises:
            ValueError: the settings are wrong.
        """
        self._validate_configuration(c.app)
        connection = cast("kombu.Connection", c.connection)
        try:
            declare_native_delayed_delivery_exchanges_and_queues(
                connection, c.app.conf.broker_native_delayed_delivery_queue_type
            )
            self._bind_queues(c.app, connection)
        except c.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001 as Celery does
            logger.critical(
                "Delayed delivery could not be set up: %s. Tasks with a countdown or an eta may be refused.",
                error,
                extra={"action": "delayed_delivery_failed"},
            )


class Blueprint(CeleryBlueprint):
    """Celery's steps with these two in the place of its own."""


_OURS = {
    "celery.worker.consumer.control:Control": f"{__name__}:Control",
    "celery.worker.consumer.delayed_delivery:DelayedDelivery": f"{__name__}:DelayedDelivery",
}
Blueprint.default_steps = {_OURS.get(step, step) for step in CeleryBlueprint.default_steps}


class TolerantConsumer(stock.Consumer):
    """Celery's consumer with these steps."""

    Blueprint = Blueprint


def _is_current(c: Consumer, connection: kombu.Connection) -> bool:
    return c.connection is connection and is_running(c.blueprint)
