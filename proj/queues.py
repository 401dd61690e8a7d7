"""The queues and exchanges of the application, as kombu declarations."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any

from amqp.exceptions import AccessRefused, NotFound
from kombu import Exchange, Queue, binding
from kombu.common import Broadcast
from kombu.transport.native_delayed_delivery import MAX_NUMBER_OF_BITS_TO_USE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu.transport.base import StdChannel

#: The queue of RabbitMQ's second tutorial, so that its programs share it with us.
WORK_QUEUE = "task_queue"
#: The queues of the tutorials' pipeline: texts to write in capital letters, and texts to print.
UPPERCASE_QUEUE = "my_queue"
PRINT_QUEUE = "upper"
#: The queue of dead letters, which a policy of the broker sends there.
DEAD_LETTERS = "dead_letters"

QUORUM = "quorum"
CLASSIC = "classic"
QUEUE_TYPES = (QUORUM, CLASSIC)

#: A topic exchange, because Celery delays tasks (`countdown`, `eta`, retries) in the broker only then. With a direct
#: exchange a delayed task would hold a slot until it is due.
TASKS = Exchange("tasks", type="topic", durable=True)


class WorkQueue(Queue):
    """A queue that Celery may bind to its delays although the queue does not exist.

    A worker binds every queue of its app, also queues that it does not consume from. A queue that is not declared yet
    would end the worker with an error. The first delayed task for the queue declares and binds it
    (`proj.delivery.publishing.routes.delayed_delivery`).
    """

    def bind_to(
        self,
        exchange: Exchange | str = "",
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
        nowait: bool = False,  # noqa: FBT001, FBT002 kombu's own signature
        channel: StdChannel | None = None,
    ) -> None:
        """Bind it; with another routing key than its own only if it exists."""
        if routing_key != self.routing_key:
            try:
                self.queue_declare(passive=True)
            except (NotFound, AccessRefused):
                # RabbitMQ 4.3 does not even tell a user without any right on it whether it is there.
                return
        super().bind_to(exchange, routing_key, arguments, nowait, channel)


def work_queue(queue_type: str, name: str = WORK_QUEUE) -> Queue:
    """A durable queue for tasks, bound to the exchange `tasks` with its own name.

    Its only argument is its type, and a classic queue has none, so any client that declares the tutorials' queue agrees
    with us. A policy of the broker holds everything else.
    """
    arguments = {"x-queue-type": queue_type} if queue_type != CLASSIC else None
    return WorkQueue(name, TASKS, routing_key=name, durable=True, queue_arguments=arguments)


# --- Exchanges: one message to all workers, or to workers that bind its routing key -----------------

#: Every worker gets a copy.
BROADCAST = Exchange("broadcast", type="fanout", durable=True)
#: Workers that bind exactly this key get the message.
DIRECT = Exchange("direct", type="direct", durable=True)
#: Workers with a pattern that matches the key get the message: `*` is one word, `#` any number of words.
TOPIC = Exchange("topic", type="topic", durable=True)
EXCHANGES = {exchange.name: exchange for exchange in (BROADCAST, DIRECT, TOPIC)}
#: The exchanges that may copy a message to several queues.
COPYING = frozenset({BROADCAST.name, TOPIC.name})

#: The exchange to which Celery's delays pass a task when it is due; only its routing key tells where it goes.
DUE = Exchange("celery_delayed_delivery", type="topic", durable=True)

#: Milliseconds without a consumer after which the broker deletes the broadcast queue of a worker.
BROADCAST_EXPIRES_MS = 60_000
_BOUND = f"{WORK_QUEUE}.topic."
_BROADCAST = "broadcast."
#: Bytes that all patterns may have, with commas. AMQP limits names and keys to 255; the longest made of them adds 70.
LONGEST_PATTERNS = 185
#: Matches what Celery puts before the key of a delayed task: one word for each bit of its delay. It replaces `#` before
#: a pattern with two `#`, because RabbitMQ refuses a third (`proj.environment.MOST_HASHES`).
_ANY_DELAY = ".".join("*" * MAX_NUMBER_OF_BITS_TO_USE)


def bound_queue(patterns: Iterable[str], queue_type: str) -> Queue:
    """The durable queue of some topic patterns, which all workers with the same patterns share.

    One queue for all patterns: with several, a worker would hold a message of each, and a message that matches two
    patterns would arrive twice. A pattern without a wildcard is bound to the exchange `direct` too.
    """
    # The name contains all patterns, because bindings of a durable queue stay: other patterns need another queue.
    asked = sorted(set(patterns))
    bindings = [one for pattern in asked for one in _bindings(TOPIC, pattern)]
    for pattern in asked:
        if not {"*", "#"} & set(pattern.split(".")):
            bindings += _bindings(DIRECT, pattern)
    arguments: dict[str, object] | None = {"x-queue-type": queue_type} if queue_type != CLASSIC else None
    return _queue(_BOUND + ",".join(asked), bindings, arguments)


def broadcast_queue(node: str, *, dead_letters: str = DEAD_LETTERS) -> Queue:
    """The queue of the worker `node` for broadcast messages; a message that expires there goes to `dead_letters`.

    It is not exclusive, because a half-open connection would keep the worker itself out, and not transient, because
    RabbitMQ 4 deprecates that. The broker deletes it after a minute without a consumer.
    """
    arguments = {
        "x-queue-type": CLASSIC,
        "x-expires": BROADCAST_EXPIRES_MS,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letters,
    }
    return _queue(_BROADCAST + node, _bindings(BROADCAST, "#"), arguments)


def is_broadcast_queue(name: str) -> bool:
    """Whether it is the queue of one worker for broadcast messages; a node's name has an @."""
    return name.startswith(_BROADCAST) and "@" in name


def is_fed_by(queue: str, exchange: str) -> bool:
    """Whether the queue may hold messages from this exchange, which is one of those above."""
    return is_broadcast_queue(queue) if exchange == BROADCAST.name else queue.startswith(_BOUND)


def delayed_key(exchange: str, key: str) -> str:
    """The routing key of a delayed task for one of the exchanges above; Celery's delays do not keep the exchange.

    The exchange is named at both ends. A queue is bound with `#` and its own pattern there, and the pattern of no other
    exchange may match the end of the key.
    """
    return f"@{exchange}.{key}.@{exchange}"


def exchange_of(delayed: str) -> str | None:
    """The exchange that is named in a key of `delayed_key`; None for any other key."""
    mark = delayed.rpartition(".")[2]
    return mark[1:] if mark.startswith("@") and mark[1:] in EXCHANGES and f"{mark}." in delayed else None


def _queue(name: str, bindings: list[binding], arguments: dict[str, object] | None) -> Queue:
    """A durable queue with these bindings, and a key of its own by which a retry reaches it, delayed or not.

    It is kombu's `Broadcast`, because Celery would bind any other queue to its delays with `#` and the pattern, through
    the same exchange. Then `*.heavy` would match `a.b.heavy` too, and each node's name would leave a binding for ever.
    """
    # One word: a key with dots and wildcards would match other keys.
    key = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    own = [binding(TASKS, key), binding(DUE, f"#.{key}")]
    queue = Broadcast(
        queue=name, routing_key=key, bindings=own + bindings, durable=True, auto_delete=False, queue_arguments=arguments
    )
    # kombu declares the bindings of such a queue, and Celery publishes to its exchange.
    queue.exchange = TASKS
    return queue


def _bindings(exchange: Exchange, pattern: str) -> list[binding]:
    """The bindings of a queue to an exchange: for messages that are sent now, and for delayed ones."""
    key = "" if exchange is BROADCAST else pattern
    delay = _ANY_DELAY if pattern.split(".").count("#") > 1 else "#"
    return [binding(exchange, key), binding(DUE, f"{delay}.{delayed_key(exchange.name, pattern)}")]


# --- Queues that workers make beside a work queue --------------------------------------------------

#: The end of the name of a quarantine: a queue of messages that may have killed a worker and are run alone.
QUARANTINE_SUFFIX = ".suspects"
#: The part between the name of a work queue and the id of a lease.
_LEASE = ".lease."
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: The names of Celery's own queues (delays, remote control, events, replies of `rpc://`), quarantines and leases.
_PLUMBING = re.compile(
    rf"celery_delayed_\d+|.*\.pidbox|celeryev\..*|{_UUID}|.*{re.escape(QUARANTINE_SUFFIX)}|.*{re.escape(_LEASE)}{_UUID}"
)


#: Arguments of the event queue of a journal, which RabbitMQ keeps and does not interpret: the path of the journal, and
#: when the queue was made, in seconds since the epoch.
JOURNAL_ARGUMENT = "x-proj-journal"
MADE_ARGUMENT = "x-proj-made"


def home_queue(queue: str) -> str:
    """The work queue to which a message belongs, also when it is in quarantine."""
    return queue.removesuffix(QUARANTINE_SUFFIX)


def quarantine_queue(queue: str) -> str:
    """The name of the quarantine of a queue, whose messages are run alone."""
    return home_queue(queue) + QUARANTINE_SUFFIX


def lease_queue(queue: str) -> str:
    """A new name for the queue that holds one message of `queue` under a lease."""
    return f"{home_queue(queue)}{_LEASE}{uuid.uuid4()}"


def is_deleted_without_consumers(queue: Queue) -> bool:
    """Whether the broker deletes the queue with its messages when nobody consumes from it, at once or some time after.

    The queue's declaration says so; a policy of the broker may too.
    """
    # celery-types lacks it.
    expires: object = getattr(queue, "expires", None)
    arguments = queue.queue_arguments or {}
    return bool(queue.auto_delete or queue.exclusive or expires is not None or "x-expires" in arguments)


def is_plumbing(name: str) -> bool:
    """Whether Celery or our workers use the queue for themselves, so that it holds no work of the user."""
    return _PLUMBING.fullmatch(name) is not None or is_broadcast_queue(name)
