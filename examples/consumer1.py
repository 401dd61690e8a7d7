"""Forgets to acknowledge: what it printed stays unacknowledged, and is printed again when it is started again.

It takes all messages at once (`prefetch=0`), as RabbitMQ gives them to whoever does not ask for fewer: with the usual
one at a time it would wait for ever after the first.
"""

from proj.messaging import MessageQueue

with MessageQueue("my_queue", prefetch=0) as queue:
    queue.register(print, acknowledge=False)
    print("Starting the consumer.")
    queue.start()
