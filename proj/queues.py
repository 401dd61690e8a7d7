"""The queues and exchanges of the application, as kombu declarations."""

from __future__ import annotations

from kombu import Exchange, Queue

#: The queue of RabbitMQ's second tutorial, so that its programs share it with us.
WORK_QUEUE = "task_queue"
#: Where messages go that will not be tried again; a policy of the broker sends them there.
DEAD_LETTERS = "dead_letters"

QUORUM = "quorum"
CLASSIC = "classic"
QUEUE_TYPES = (QUORUM, CLASSIC)

#: Topic, because Celery delays tasks (`countdown`, `eta`, retries) in the broker only then; over
#: a direct exchange a delayed task would hold a slot until it is due.
TASKS = Exchange("tasks", type="topic", durable=True)


def work_queue(queue_type: str, name: str = WORK_QUEUE) -> Queue:
    """A durable queue for tasks, bound to the exchange `tasks` by its own name.

    Its only argument is its type, and a classic queue has none, so that any client that declares
    the tutorials' queue agrees with us; all else is a policy of the broker.
    """
    arguments = {"x-queue-type": queue_type} if queue_type != CLASSIC else None
    return Queue(name, TASKS, routing_key=name, durable=True, queue_arguments=arguments)
