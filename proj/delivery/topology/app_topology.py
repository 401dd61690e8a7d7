"""What must exist on the broker for an app, part by part, read from its settings as Celery itself reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from celery.events.event import get_exchange
from celery.utils.quorum_queues import detect_quorum_queues
from kombu.common import Broadcast
from kombu.transport import native_delayed_delivery as native

from proj.broker.declaration import declare, declare_dead_letters
from proj.delivery.dead_letters.app_queues import dead_letter_queue, queue_types
from proj.delivery.dead_letters.queue_policy import POLICY_PREFIX, extended_policy, policy_status
from proj.delivery.settings import setting
from proj.delivery.topology.entities import Part, Policy
from proj.delivery.topology.recorder import Recorder
from proj.environment import checked_patterns
from proj.queues import (
    CLASSIC,
    EXCHANGES,
    LONGEST_PATTERNS,
    bound_queue,
    broadcast_queue,
    is_deleted_without_consumers,
    quarantine_queue,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import kombu
    from celery import Celery

#: The bootstep of an app whose workers listen to broadcasts and to topic patterns (`proj.delivery.consuming.bindings`).
_LISTENS = "proj.delivery.consuming.bindings:KeepBroadcasts"

TASKS = "tasks"
DEAD_LETTERS = "dead letters"
QUARANTINE = "quarantine"
POLICIES = "policies"
DELAYS = "delayed delivery"
REMOTE_CONTROL = "remote control"
EVENTS = "events"


def topology(app: Celery, additional: Iterable[str] = ()) -> list[Part]:
    """What must exist for `app` and its `additional` queues.

    Queues that only a router function chooses, or the option -Q of a worker, are not known.

    Raises:
        InvalidConfiguration: Celery cannot read `task_routes`.
    """
    queues = app_queues(app, additional)
    work = Recorder()
    for queue in queues:
        queue.bind(cast("Any", work)).declare()
    if listens(app):
        _listen(app, work)
    parts = [work.part(TASKS, without="no task is taken", required=True)]

    letters = Recorder()
    name = dead_letter_queue(app)
    declare_dead_letters(cast("Any", letters), name=name)
    parts.append(
        letters.part(
            DEAD_LETTERS,
            without="a worker does not start, because it has no place for a message that cannot be run",
            required=True,
            known=parts,
            any_arguments=True,
        )
    )

    alone = Recorder()
    for queue in queues:
        if not is_deleted_without_consumers(queue):
            declare(cast("Any", alone), quarantine_queue(queue.name))
    parts.append(
        alone.part(
            QUARANTINE,
            without="a worker does not start, because it has no place for a message that may have killed a worker",
            required=True,
            known=parts,
            any_arguments=True,
        )
    )
    parts.append(_policies(app, additional))
    if detect_quorum_queues(app, "amqp")[0]:
        parts.append(_delays(app, queues, parts))
    parts.append(_remote_control(app, parts))
    parts.append(_events(app, parts))
    return parts


def app_queues(app: Celery, additional: Iterable[str] = ()) -> list[kombu.Queue]:
    """The queues of `task_queues`, `task_routes`, `proj_adopt` and the `additional` ones, as Celery declares them."""
    # Some of these are missing in Celery's table until a task is sent there; celery-types lacks the maker of them.
    table: Any = app.amqp.queues
    return [
        table[name] if name in table else table.new_missing(name)
        for name in queue_types(app, additional)
        if name != dead_letter_queue(app)
    ]


def listens(app: Celery) -> bool:
    """Whether each worker of the app makes a queue of its own for broadcasts."""
    return _LISTENS in app.steps["consumer"]


def _listen(app: Celery, work: Recorder) -> None:
    """Note the exchanges that the workers' own queues are bound to, and the queue of the app's topic patterns."""
    for exchange in EXCHANGES.values():
        exchange.bind(cast("Any", work)).declare()
    broadcast_queue("anyone").bind(cast("Any", work)).declare()
    if patterns := checked_patterns("proj_bind", setting(app, "proj_bind"), LONGEST_PATTERNS):
        bound_queue(patterns, app.conf.task_create_missing_queue_type or CLASSIC).bind(cast("Any", work)).declare()


def _policies(app: Celery, additional: Iterable[str]) -> Part:
    letters = dead_letter_queue(app)
    made = []
    for name, queue_type in {**queue_types(app, additional), letters: "quorum"}.items():
        status = policy_status(name, None, declared_type=queue_type, dead_letters=letters)
        policy = extended_policy(status, letters)
        made.append(
            Policy(
                name=POLICY_PREFIX + name,
                pattern=policy["pattern"],
                apply_to=policy["apply-to"],
                priority=policy["priority"],
                definition=policy["definition"],
            )
        )
    return Part(
        name=POLICIES,
        without="RabbitMQ drops what expires, is rejected or is delivered too often",
        required=True,
        policies=tuple(made),
    )


def _delays(app: Celery, queues: Iterable[kombu.Queue], known: list[Part]) -> Part:
    """The 28 queues and exchanges by which the broker delays a task."""
    delays = Recorder()
    native.declare_native_delayed_delivery_exchanges_and_queues(
        cast("Any", delays), app.conf.broker_native_delayed_delivery_queue_type
    )
    for queue in queues:
        if not isinstance(queue, Broadcast):
            # Our own queues ask whether they are there before they are bound.
            queue.bind(cast("Any", delays)).declare()
            native.bind_queue_to_native_delayed_delivery_exchange(cast("Any", delays), queue)
    return delays.part(
        DELAYS,
        without="a task with a countdown or an eta, and each retry after a pause, is refused when it is published",
        known=known,
    )


def _remote_control(app: Celery, known: list[Part]) -> Part:
    control = Recorder()
    # celery-types lacks it.
    mailbox = cast("Any", app.control).mailbox
    for exchange in (mailbox.exchange, mailbox.reply_exchange):
        exchange.bind(cast("Any", control)).declare()
    # Celery's are gone after a restart of the broker, and nobody would make them again.
    control.exchanges = {name: replace(each, durable=True) for name, each in control.exchanges.items()}
    return control.part(
        REMOTE_CONTROL,
        without="celery inspect and control, queues halt and pause, and health have no answer",
        known=known,
    )


def _events(app: Celery, known: list[Part]) -> Part:
    events = Recorder()
    # It looks only whether the broker is RabbitMQ.
    get_exchange(app.connection_for_write(), name=app.conf.event_exchange).bind(cast("Any", events)).declare()
    return events.part(EVENTS, without="the dashboard and journal record see no tasks and no workers", known=known)
