"""The names of the headers that proj writes into messages, and of those that it reads from the broker."""

from __future__ import annotations

#: How many pool processes its task killed, or ended by an exception that is meant for processes.
STRIKES = "x-proj-strikes"
#: How many workers were lost while they held it, before this copy was published.
REDELIVERIES = "x-proj-redeliveries"
#: How often its task requeued it.
REQUEUES = "x-proj-requeues"
#: The broker's own count of deliveries before this one, on quorum queues.
DELIVERY_COUNT = "x-delivery-count"
#: Only RabbitMQ 4.3 and later set it. There it counts every delivery, and the delivery count those that failed.
ACQUIRED_COUNT = "x-acquired-count"
BROKER_COUNTS = (DELIVERY_COUNT, ACQUIRED_COUNT)
#: How many copies of it workers have published, this one included.
COPIES = "x-proj-copies"
#: The latest dead-lettering of the message that its counts do not include any more; see `redeliveries`.
LAST_DEATH = "x-proj-last-death"
#: The number of a message's copy in the queue of a lease.
LEASE_COPY = "x-proj-lease"

# --- Headers of a dead letter ---------------------------------------------------------------------------------------

#: Why the message was dead-lettered: one sentence.
REASON = "x-proj-reason"
#: The queue that the message came from, and returns to when it is requeued.
QUEUE = "x-proj-queue"
#: The node name of the worker that dead-lettered it.
WORKER = "x-proj-worker"
#: When it was dead-lettered: seconds since the epoch, a float.
TIME = "x-proj-time"
#: How often it had been tried.
ATTEMPTS = "x-proj-attempts"
#: Whether its task ran, or began to; it is missing where that is not known.
RAN = "x-proj-ran"
#: The task that ran a plain message, which names none itself.
TASK = "x-proj-task"

# --- Headers of any copy that a worker publishes --------------------------------------------------------------------

#: The exchange and the routing key that the first sender published with. Celery tells them to the task.
EXCHANGE = "x-proj-exchange"
ROUTING_KEY = "x-proj-routing-key"

# --- Headers of a message whose properties py-amqp could not read; see `unreadable_properties` ----------------------

#: The error.
UNREADABLE = "x-proj-unreadable"
#: The properties as they came, in base64.
RAW_PROPERTIES = "x-proj-properties"
