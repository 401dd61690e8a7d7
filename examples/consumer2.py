"""Acknowledges each message when its handler has returned; Ctrl-C ends it after the current message."""

import signal

from proj.messaging import MessageQueue

with MessageQueue("my_queue") as queue:
    signal.signal(signal.SIGINT, lambda *_: queue.stop())
    queue.register(print)
    print("Starting the consumer.")
    queue.start()
    print("The consumer has ended.")
