"""Publishes each of its arguments as a message: python examples/producer.py Hello world."""

import argparse

from proj.messaging import MessageQueue

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "words", nargs="+", metavar="WORD", help="a message; HALT ends consumers that have this poison pill"
)
words = parser.parse_args().words

with MessageQueue("my_queue") as queue:
    for word in words:
        queue.publish(word)
