"""Forgets to acknowledge: the messages that it prints stay unacknowledged, and it prints them again at its next start.

While it runs, the broker delivers them again after the consumer_timeout (30 minutes). A quorum queue counts the
deliveries: a message that came back 15 times becomes a dead letter. Ctrl-C ends the program.

It takes all messages at once (`prefetch=0`), RabbitMQ's default. With the usual one at a time it would wait for ever
after the first message.
"""

import signal

from proj.messaging import MessageQueue

with MessageQueue("my_queue", prefetch=0) as queue:
    signal.signal(signal.SIGINT, lambda *_: queue.stop())
    queue.register(print, acknowledge=False)
    print("Starting the consumer.")
    queue.start()
