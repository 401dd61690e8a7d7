"""Ends at the poison pill or at Ctrl-C; publish the pill with: python examples/producer.py Hello world HALT."""

import signal

from proj.messaging import Message, MessageQueue

queue = MessageQueue("my_queue")


def handle(message: Message) -> None:
    """Print a word, or stop at the pill."""
    if message.text == "HALT":
        print("Halting the consumer.")
        queue.stop()
    else:
        print(message)


with queue:
    signal.signal(signal.SIGINT, lambda *_: queue.stop())
    queue.register(handle)
    print("Starting the consumer.")
    queue.start()
    print("The consumer has ended.")
