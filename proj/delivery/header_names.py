"""The names of the headers that proj writes into messages, and of those that it reads from the broker."""

from __future__ import annotations

#: How often it killed the pool process that ran it, or ended it by an exception that is meant for processes.
STRIKES = "x-proj-strikes"
#: Deliveries before this copy whose worker vanished without a word.
REDELIVERIES = "x-proj-redeliveries"
#: How often it was given back on purpose.
REQUEUES = "x-proj-requeues"
#: The broker's own counts of deliveries before this one; which of them counts a lost worker depends on its version.
BROKER_COUNTS = ("x-delivery-count", "x-acquired-count")

#: Why it was given up: one sentence for people.
REASON = "x-proj-reason"
#: The queue that it was in, and goes back to when it is requeued.
QUEUE = "x-proj-queue"
#: The node name of the worker that gave it up.
WORKER = "x-proj-worker"
#: When: seconds since the epoch, a float.
TIME = "x-proj-time"
#: How often it had been tried.
ATTEMPTS = "x-proj-attempts"
#: The task that had adopted it, where it names none itself.
TASK = "x-proj-task"
#: To which exchange its sender published it, and how it was routed there: workers tell tasks so.
EXCHANGE = "x-proj-exchange"
ROUTING_KEY = "x-proj-routing-key"

#: The header of a message whose own properties py-amqp could not read; see `unreadable_properties`.
UNREADABLE = "x-proj-unreadable"

#: The properties as they came, in base64, when they could not be read.
RAW_PROPERTIES = "x-proj-properties"
