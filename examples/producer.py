"""Publishes each word that it is given: python examples/producer.py Hello world."""

import sys

from proj.messaging import MessageQueue

with MessageQueue("my_queue") as queue:
    for word in sys.argv[1:]:
        queue.publish(word)
