"""Forgets to acknowledge: what it printed stays unacknowledged, and is printed again when it is started again.

It is also given out again, while this runs, when the broker's consumer_timeout (30 minutes) has passed; and a quorum
queue counts: what came back 15 times is not printed any more, but becomes a dead letter. Ctrl-C ends it.

It takes all messages at once (`prefetch=0`), as RabbitMQ gives them to whoever does not ask for fewer: with the usual
one at a time it would wait for ever after the first.
"""

import signal

from proj.messaging import MessageQueue

with MessageQueue("my_queue", prefetch=0) as queue:
    signal.signal(signal.SIGINT, lambda *_: queue.stop())
    queue.register(print, acknowledge=False)
    print("Starting the consumer.")
    queue.start()
