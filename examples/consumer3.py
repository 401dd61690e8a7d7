"""Ends by itself when it is given the poison pill: python examples/producer.py Hello world HALT."""

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
    queue.register(handle)
    print("Starting the consumer.")
    queue.start()
    print("The consumer has ended.")
