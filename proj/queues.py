"""The queues and exchanges of the application, as kombu declarations."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound
from kombu import Exchange, Queue, binding
from kombu.common import Broadcast

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The queue of RabbitMQ's second tutorial, so that its programs share it with us.
WORK_QUEUE = "task_queue"
#: The queues of the tutorials' pipeline: what is to be written in capital letters, and what is to be printed.
UPPERCASE_QUEUE = "my_queue"
PRINT_QUEUE = "upper"
#: Where messages go that will not be tried again; a policy of the broker sends them there.
DEAD_LETTERS = "dead_letters"

QUORUM = "quorum"
CLASSIC = "classic"
QUEUE_TYPES = (QUORUM, CLASSIC)

#: Topic, because Celery delays tasks (`countdown`, `eta`, retries) in the broker only then; over
#: a direct exchange a delayed task would hold a slot until it is due.
TASKS = Exchange("tasks", type="topic", durable=True)


class WorkQueue(Queue):
    """A queue that Celery may bind to its delays whether it is there or not.

    A worker binds every queue of its app, also those that it does not consume from; one that nobody has made would end
    that with an error. The first delayed task that is sent to it makes and binds it
    (`proj.delivery.publishing.delayed_delivery`).
    """

    def bind_to(self, exchange: Any = "", routing_key: str = "", *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 as kombu's
        """Bind it; by another key than its own only if it is there."""
        if routing_key != self.routing_key:
            try:
                self.queue_declare(passive=True)
            except NotFound:
                return
        super().bind_to(exchange, routing_key, *args, **kwargs)


def work_queue(queue_type: str, name: str = WORK_QUEUE) -> Queue:
    """A durable queue for tasks, bound to the exchange `tasks` by its own name.

    Its only argument is its type, and a classic queue has none, so that any client that declares
    the tutorials' queue agrees with us; all else is a policy of the broker.
    """
    arguments = {"x-queue-type": queue_type} if queue_type != CLASSIC else None
    return WorkQueue(name, TASKS, routing_key=name, durable=True, queue_arguments=arguments)


# --- Exchanges: one message to all workers, or to those that ask for its kind ----------------------

#: A copy to each worker.
BROADCAST = Exchange("broadcast", type="fanout", durable=True)
#: To the workers that asked for exactly this key.
DIRECT = Exchange("direct", type="direct", durable=True)
#: To the workers with a pattern that the key matches: `*` is one word, `#` any number of them.
TOPIC = Exchange("topic", type="topic", durable=True)
EXCHANGES = {exchange.name: exchange for exchange in (BROADCAST, DIRECT, TOPIC)}
#: Of these, who may copy a message to several queues.
COPYING = frozenset({BROADCAST.name, TOPIC.name})

#: Where a task that was delayed comes out of Celery's delays when it is due, by its key alone.
DUE = Exchange("celery_delayed_delivery", type="topic", durable=True)

#: Milliseconds for which the broadcast queue of a worker that is gone waits for it to come back.
BROADCAST_EXPIRES_MS = 60_000
_BOUND = f"{WORK_QUEUE}.topic."
_BROADCAST = "broadcast."
#: Bytes that patterns may have, with commas: AMQP's names and keys have 255, and the longest made of them adds 18.
LONGEST_PATTERNS = 237


def bound_queue(patterns: Iterable[str], queue_type: str) -> Queue:
    """The durable queue of some topic patterns, which all workers with the same ones share.

    One for all of them: a worker would hold a message of each queue that it consumes from, and get a message that
    matches two of them twice. A pattern without a wildcard is a key of the exchange `direct` too.
    """
    # The name tells all bindings, for those of a durable queue stay: other patterns must be another queue.
    asked = sorted(set(patterns))
    ways = [way for pattern in asked for way in _ways(TOPIC, pattern)]
    for pattern in asked:
        if not {"*", "#"} & set(pattern.split(".")):
            ways += _ways(DIRECT, pattern)
    return _aside(_BOUND + ",".join(asked), ways, {"x-queue-type": queue_type} if queue_type != CLASSIC else None)


def broadcast_queue(node: str, *, dead_letters: str = DEAD_LETTERS) -> Queue:
    """The queue over which the worker `node` hears what is broadcast; what expires there goes to `dead_letters`.

    Not exclusive, for a half-open connection would keep the worker itself out; not transient, which RabbitMQ 4
    deprecates. It goes when nobody has asked for it for a minute.
    """
    arguments = {
        "x-queue-type": CLASSIC,
        "x-expires": BROADCAST_EXPIRES_MS,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_letters,
    }
    return _aside(_BROADCAST + node, _ways(BROADCAST, "#"), arguments)


def is_broadcast_queue(name: str) -> bool:
    """Whether it is the queue over which one worker hears what is broadcast; a node's name has an @."""
    return name.startswith(_BROADCAST) and "@" in name


def is_fed_by(queue: str, exchange: str) -> bool:
    """Whether messages from one of the exchanges above may be in the queue."""
    return is_broadcast_queue(queue) if exchange == BROADCAST.name else queue.startswith(_BOUND)


def delayed_key(exchange: str, key: str) -> str:
    """The key by which a task for one of the exchanges above goes through Celery's delays, which know no exchange.

    Marked on both sides: a queue is bound by `#` and its own pattern there, and no other may match the key by its end.
    """
    return f"@{exchange}.{key}.@{exchange}"


def exchange_of(delayed: str) -> str | None:
    """The exchange for which such a key was made; None when it is another key."""
    mark = delayed.rpartition(".")[2]
    return mark[1:] if mark.startswith("@") and mark[1:] in EXCHANGES and f"{mark}." in delayed else None


def _aside(name: str, ways: list[binding], arguments: dict[str, object] | None) -> Queue:
    """A durable queue with these bindings, to which a retry finds by a key of its own, delayed or not.

    kombu's `Broadcast`, for Celery would bind any other to its delays by `#` and the pattern, through the same
    exchange: then `*.heavy` would match `a.b.heavy` as well, and each node's name would leave a binding for ever.
    """
    # One word, since a name with dots and wildcards matches others, and is matched.
    key = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    own = [binding(TASKS, key), binding(DUE, f"#.{key}")]
    queue = Broadcast(
        queue=name, routing_key=key, bindings=own + ways, durable=True, auto_delete=False, queue_arguments=arguments
    )
    # A queue of kombu is declared by its bindings when it has any, and Celery publishes to its exchange.
    queue.exchange = TASKS
    return queue


def _ways(exchange: Exchange, pattern: str) -> list[binding]:
    """The bindings of a queue to an exchange: for what is sent now, and for what was delayed."""
    key = "" if exchange is BROADCAST else pattern
    return [binding(exchange, key), binding(DUE, f"#.{delayed_key(exchange.name, pattern)}")]


# --- Queues that workers make beside a work queue --------------------------------------------------

#: Ends the name of the queue whose messages may have killed a worker and are run alone.
QUARANTINE_SUFFIX = ".suspects"
#: Stands between the name of a work queue and the id of a lease.
_LEASE = ".lease."
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: Queues of Celery (delays, remote control, events, replies of `rpc://`), quarantines and leases.
_PLUMBING = re.compile(
    rf"celery_delayed_\d+|.*\.pidbox|celeryev\..*|{_UUID}|.*{re.escape(QUARANTINE_SUFFIX)}|.*{re.escape(_LEASE)}{_UUID}"
)


def home_queue(queue: str) -> str:
    """The queue that a message belongs to, wherever it was run."""
    return queue.removesuffix(QUARANTINE_SUFFIX)


def quarantine_queue(queue: str) -> str:
    """Where the messages of a queue are kept that are to be run alone."""
    return home_queue(queue) + QUARANTINE_SUFFIX


def lease_queue(queue: str) -> str:
    """A new name for the queue that keeps one message of `queue` under a lease."""
    return f"{home_queue(queue)}{_LEASE}{uuid.uuid4()}"


def is_plumbing(name: str) -> bool:
    """Whether Celery or our workers made the queue for themselves."""
    return _PLUMBING.fullmatch(name) is not None or is_broadcast_queue(name)
